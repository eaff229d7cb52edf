/// How one symbol of the synthesised market trades.
struct MarketSymbol: Equatable {
    /// As the exchange spells it, upper case where ASCII.
    var name: String
    /// Fraction digits of prices that occur; the tick is one unit of the last.
    var priceDigits: Int
    /// Fraction digits of quantities that occur. Together with `priceDigits` at most 8, so that a quote volume in
    /// eight digits is exact.
    var quantityDigits: Int
    /// First price, in ticks.
    var firstPrice: UInt64
    /// Median quantity of a trade, in lots.
    var typicalQuantity: UInt64

    private init(
        _ name: String, _ priceDigits: Int, _ quantityDigits: Int, _ price: UInt64, _ quantity: UInt64
    ) {
        self.name = name
        self.priceDigits = priceDigits
        self.quantityDigits = quantityDigits
        firstPrice = price
        typicalQuantity = quantity
    }

    /// `count` symbols: well-known names first, then S0051USDT and so on. With `nonASCII` the second is 币安人生USDT.
    static func list(count: Int, nonASCII: Bool) -> [MarketSymbol] {
        var symbols = Array(known.prefix(count))
        for number in symbols.count..<max(symbols.count, count) {
            let digits = String(number + 1)
            let padded = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
            symbols.append(MarketSymbol("S\(padded)USDT", 4, 2, 10_000 + UInt64(number) * 37, 5_000))
        }
        if nonASCII, count > 0 {
            symbols.insert(MarketSymbol("币安人生USDT", 4, 1, 1_834, 4_200), at: min(1, symbols.count))
            symbols.removeLast()
        }
        return symbols
    }

    private static let known: [MarketSymbol] = [
        MarketSymbol("BTCUSDT", 2, 5, 8_492_204, 230), MarketSymbol("ETHUSDT", 2, 4, 267_874, 340),
        MarketSymbol("BNBUSDT", 2, 3, 63_518, 420), MarketSymbol("SOLUSDT", 2, 3, 14_277, 3_100),
        MarketSymbol("XRPUSDT", 4, 1, 21_853, 1_450), MarketSymbol("DOGEUSDT", 5, 0, 16_342, 1_900),
        MarketSymbol("ADAUSDT", 4, 1, 4_871, 4_400), MarketSymbol("TRXUSDT", 4, 1, 2_764, 8_300),
        MarketSymbol("AVAXUSDT", 2, 2, 1_644, 1_320), MarketSymbol("LINKUSDT", 2, 2, 1_421, 1_180),
        MarketSymbol("DOTUSDT", 3, 2, 3_182, 5_600), MarketSymbol("LTCUSDT", 2, 3, 8_733, 1_270),
        MarketSymbol("BCHUSDT", 1, 3, 4_871, 410), MarketSymbol("UNIUSDT", 3, 2, 6_012, 3_300),
        MarketSymbol("ATOMUSDT", 3, 2, 3_011, 4_100), MarketSymbol("ETCUSDT", 2, 2, 1_722, 950),
        MarketSymbol("FILUSDT", 3, 2, 1_877, 6_300), MarketSymbol("APTUSDT", 3, 2, 3_466, 2_700),
        MarketSymbol("ARBUSDT", 4, 1, 3_105, 7_700), MarketSymbol("OPUSDT", 4, 2, 4_233, 52_000),
        MarketSymbol("NEARUSDT", 3, 1, 1_933, 910), MarketSymbol("INJUSDT", 3, 2, 8_344, 2_050),
        MarketSymbol("SUIUSDT", 4, 1, 16_677, 880), MarketSymbol("SEIUSDT", 4, 1, 1_422, 12_000),
        MarketSymbol("TIAUSDT", 4, 2, 6_018, 31_000), MarketSymbol("PEPEUSDT", 8, 0, 463, 912_000_000),
        MarketSymbol("SHIBUSDT", 8, 0, 873, 405_000_000), MarketSymbol("BONKUSDT", 8, 0, 1_104, 633_000_000),
        MarketSymbol("FLOKIUSDT", 8, 0, 4_877, 71_000_000), MarketSymbol("WIFUSDT", 3, 2, 412, 83_000),
        MarketSymbol("AAVEUSDT", 2, 3, 17_233, 910), MarketSymbol("MKRUSDT", 1, 4, 14_872, 420),
        MarketSymbol("ALGOUSDT", 4, 0, 1_388, 2_400), MarketSymbol("XLMUSDT", 4, 0, 2_477, 3_100),
        MarketSymbol("HBARUSDT", 5, 0, 14_233, 5_200), MarketSymbol("VETUSDT", 5, 1, 1_299, 88_000),
        MarketSymbol("ICPUSDT", 3, 2, 4_122, 2_800), MarketSymbol("GRTUSDT", 4, 0, 512, 6_400),
        MarketSymbol("SANDUSDT", 4, 0, 1_877, 900), MarketSymbol("MANAUSDT", 4, 0, 2_012, 800),
        MarketSymbol("AXSUSDT", 3, 2, 1_322, 7_200), MarketSymbol("THETAUSDT", 3, 1, 533, 6_800),
        MarketSymbol("EGLDUSDT", 2, 2, 922, 840), MarketSymbol("FTMUSDT", 4, 0, 3_366, 440),
        MarketSymbol("RUNEUSDT", 3, 1, 944, 3_200), MarketSymbol("ETHBTC", 5, 3, 3_154, 215),
        MarketSymbol("BNBBTC", 6, 2, 7_480, 310), MarketSymbol("SOLBTC", 7, 1, 16_812, 640),
        MarketSymbol("LDOUSDT", 4, 2, 7_411, 41_000), MarketSymbol("CRVUSDT", 4, 1, 4_466, 2_900),
    ]
}
