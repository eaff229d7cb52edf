import ArgumentParser

/// The kinds of streams of a synthesised symbol. Those with an interval come last, one for each bar length.
enum StreamKind: Int, CaseIterable {
    case trade, aggTrade, ticker, miniTicker, bookTicker, avgPrice, markPrice, markPrice1s, kline

    /// What follows the symbol and `@` in the stream's name, up to a bar's length.
    var suffix: String { self == .markPrice1s ? "markPrice@1s" : "\(self)" }

    /// Whether the market has the stream.
    func exists(in market: Market) -> Bool {
        switch self {
        case .avgPrice: market == .spot
        case .markPrice, .markPrice1s: market != .spot
        default: true
        }
    }

    /// Stream kinds of one symbol: ``kline`` counts once an interval.
    static let slotCount = StreamKind.kline.rawValue + KlineInterval.all.count
}

/// Weights of what happens in the synthesised market: `trade=90,kline=7,ticker=3`.
struct MarketMix: Equatable, ExpressibleByArgument {
    /// Indexed by ``StreamKind``.
    var weights: [Int]

    static let standard = MarketMix(weights: [90, 0, 3, 0, 0, 0, 0, 0, 7])

    private init(weights: [Int]) { self.weights = weights }

    var defaultValueDescription: String {
        StreamKind.allCases.filter { weights[$0.rawValue] > 0 }.map { "\($0)=\(weights[$0.rawValue])" }
            .joined(separator: ",")
    }

    init?(argument: String) {
        weights = [Int](repeating: 0, count: StreamKind.allCases.count)
        for part in argument.split(separator: ",") {
            let pair = part.split(separator: "=")
            guard pair.count == 2, let weight = Int(pair[1]), (0...1_000_000).contains(weight),
                let kind = StreamKind.allCases.first(where: { "\($0)" == pair[0] })
            else { return nil }
            weights[kind.rawValue] = weight
        }
        guard weights.contains(where: { $0 > 0 }) else { return nil }
    }
}
