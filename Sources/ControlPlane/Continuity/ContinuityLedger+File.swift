import MarketData

extension ContinuityLedger.Document {
    /// Replaces a file by this, as JSON of the shape that `Codable` reads. Series by series: an encoder holds the tree and
    /// the text of everything at once, for thousands of streams megabytes that stay with the process.
    func write(to path: String) throws(FileReplacement.Failure) {
        var file = try FileReplacement(path)
        try file.append("{\"time\":\(time),\"series\":[".utf8)
        var line = ""
        for (index, one) in series.enumerated() {
            line.removeAll(keepingCapacity: true)
            line += index == 0 ? "\n" : ",\n"
            one.write(to: &line)
            try file.append(line.utf8)
        }
        try file.append("\n]}\n".utf8)
        try file.finish()
    }
}

extension ContinuityLedger.Series {
    fileprivate func write(to line: inout String) {
        line += "{\"exchange\":\(JSONEscaping.quoted(exchange)),\"symbol\":\(JSONEscaping.quoted(symbol))"
        line += ",\"type\":\(JSONEscaping.quoted(type)),\"forgotten\":\(forgotten),\"repaired\":\(repaired)"
        line += ",\"absent\":\(absent),\"lost\":\(lost),\"intervals\":["
        for (index, interval) in intervals.enumerated() {
            if index > 0 { line += "," }
            interval.write(to: &line)
        }
        line += "]}"
    }
}

extension ContinuityLedger.Interval {
    fileprivate func write(to line: inout String) {
        line += "{\"state\":\"\(state.rawValue)\",\"from\":\(from)"
        if let to { line += ",\"to\":\(to)" }
        if let firstMissing { line += ",\"firstMissing\":\(firstMissing)" }
        if let lastMissing { line += ",\"lastMissing\":\(lastMissing)" }
        if let missing { line += ",\"missing\":\(missing)" }
        if let cause { line += ",\"cause\":\(JSONEscaping.quoted(cause))" }
        line += "}"
    }
}
