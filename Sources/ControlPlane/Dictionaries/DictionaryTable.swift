/// What dictionaries gain, for people.
public enum DictionaryTable {
    /// A row for each type and batch size; a ratio is that of JSON to compressed bytes.
    public static func render(_ measurements: [DictionaryTraining.Measurement], level: Int) -> String {
        var rows = [
            [
                "type", "events", "batches", "JSON", "without", "with", "ratio without", "with", "saved",
                "ns without", "with",
            ]
        ]
        for row in measurements {
            func each(_ bytes: Int) -> String { "\((bytes + row.batches / 2) / row.batches)" }
            func ratio(_ bytes: Int) -> String { hundredths(Double(row.rawBytes) / Double(max(1, bytes))) }
            let saved = 1 - Double(row.dictionaryBytes) / Double(max(1, row.plainBytes))
            rows.append([
                row.kind.name + (row.isOnTrainingData ? "*" : ""), "\(row.batchSize)", "\(row.batches)",
                each(row.rawBytes), each(row.plainBytes), each(row.dictionaryBytes), ratio(row.plainBytes),
                ratio(row.dictionaryBytes), HumanText.fixed(saved * 100) + " %",
                "\(Int(row.plainNanos) / row.batches)", "\(Int(row.dictionaryNanos) / row.batches)",
            ])
        }
        return "bytes a batch, zstd level \(level)\n" + HumanText.table(rows).joined(separator: "\n")
    }

    private static func hundredths(_ value: Double) -> String {
        let digits = String(Int((value * 100).rounded()))
        let padded = String(repeating: "0", count: max(0, 3 - digits.count)) + digits
        return "\(padded.dropLast(2)).\(padded.suffix(2))"
    }
}
