/// Frames for mutations: one of each kind and form.
enum Seeds {
    static let spot: [String] = [
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":6732650448,"p":"84922.04000000","q":"0.00023000","T":1790960630913,"m":true,"M":true}}"#,
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1592591955766,"s":"BTCUSDT","t":343719861,"p":"9302.00000000","q":"0.00101900","b":2517144287,"a":2517144235,"T":1592591955765,"m":false,"M":true}}"#,
        #"{"stream":"bnbbtc@aggTrade","data":{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}}"#,
        #"{"stream":"bnbbtc@kline_1m","data":{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}}"#,
        #"{"stream":"bnbbtc@kline_1s","data":{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515780999,"s":"BNBBTC","i":"1s","f":-1,"L":-1,"o":"0.0010","c":"0.0010","h":"0.0010","l":"0.0010","v":"0.00000000","n":0,"x":true,"q":"0.00000000","V":"0.00000000","Q":"0.00000000","B":"0"}}}"#,
        "{\"stream\":\"bnbbtc@ticker\",\"data\":\(GoldenTests.ticker24)}",
        #"{"stream":"bnbbtc@ticker_1h","data":{"e":"1hTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","o":"0.0010","h":"0.0025","l":"0.0010","c":"0.0025","w":"0.0018","v":"10000","q":"18","O":0,"C":1675216573749,"F":0,"L":18150,"n":18151}}"#,
        "{\"stream\":\"bnbbtc@miniTicker\",\"data\":\(GoldenTests.miniTicker("BNBBTC"))}",
        "{\"stream\":\"!miniTicker@arr\",\"data\":[\(GoldenTests.miniTicker("BNBBTC")),\(GoldenTests.miniTicker("币安人生USDT"))]}",
        "{\"stream\":\"!ticker_1d@arr\",\"data\":[\(GoldenTests.ticker24.replacing("24hr", with: "1d"))]}",
        #"{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}"#,
        #"{"stream":"btcusdt@avgPrice","data":{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000","T":1693907032213}}"#,
        #"{"stream":"币安人生usdt@trade","data":{"e":"trade","E":1,"s":"币安人生USDT","t":1,"p":"1","q":"1","T":1,"m":false,"M":true}}"#,
        #"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["43.5","7.0"]],"a":[]}}"#,
        #"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#,
        #"{"e":"serverShutdown","E":1770123456789}"#,
        #"{"result":null,"id":1}"#, #"{"result":["btcusdt@aggTrade"],"id":3}"#,
        #"{"code":0,"msg":"Unknown property","id":1}"#,
        #"{"error":{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"},"id":4}"#,
    ]

    /// What futures write otherwise than spot, as it came in 2021, 2024 and 2026.
    static let usdm: [String] = [
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1790370834849,"T":1790370834848,"s":"BTCUSDT","t":8121136411,"p":"83680.00","q":"0.001","X":"MARKET","m":true,"st":1}}"#,
        #"{"stream":"dogeusdt@trade","data":{"e":"trade","E":1790371725749,"T":1790371725748,"s":"DOGEUSDT","t":3488255295,"p":"0","q":"0","X":"NA","m":true,"st":1}}"#,
        #"{"stream":"btcusdt@trade","data":{"e":"trade","E":1680652700455,"T":1680652700452,"s":"BTCUSDT","t":3535186032,"p":"28145.10","q":"0.002","X":"INSURANCE_FUND","m":false}}"#,
        #"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1791382992488,"a":3477868433,"s":"BTCUSDT","p":"83091.70","q":"0.022","nq":"0.022","f":8153634393,"l":8153634394,"T":1791382992338,"m":false,"st":1}}"#,
        #"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1616202009196,"a":389551486,"s":"BTCUSDT","p":"58665.00","q":"0.043","f":621622993,"l":621622993,"T":1616202009188,"m":false}}"#,
        #"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1791382992723,"s":"BTCUSDT","k":{"t":1791382980000,"T":1791383039999,"s":"BTCUSDT","i":"1m","f":8153633367,"L":8153634395,"o":"83084.90","c":"83091.60","h":"83091.70","l":"83051.20","v":"13.551","n":1027,"x":false,"q":"1125714.73960","V":"6.426","Q":"533856.66860","B":"0"}}}"#,
        #"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1791382993519,"s":"BTCUSDT","ps":"BTCUSDT","p":"-3058.40","P":"-3.550","w":"84385.14","c":"83091.60","Q":"0.002","o":"86150.00","h":"86664.90","l":"82706.20","v":"170340.583","q":"14374214019.71","O":1791296580000,"C":1791382993519,"F":8150083791,"L":8153634403,"n":3538937,"st":1}}"#,
        #"{"stream":"btcusdt@miniTicker","data":{"e":"24hrMiniTicker","E":1654791723970,"s":"BTCUSDT","c":"30180.00","o":"30463.50","h":"30691.90","l":"29900.00","v":"315252.128","q":"9537613226.33"}}"#,
        #"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":11757092630476,"s":"BTCUSDT","ps":"BTCUSDT","b":"83091.60","B":"4.215","a":"83091.70","A":"3.763","T":1791382994657,"E":1791382994658,"st":1}}"#,
        #"{"stream":"!bookTicker","data":{"e":"bookTicker","u":1553205153844,"s":"BALUSDT","b":"6.718","B":"16.2","a":"6.719","A":"3.7","T":1653812037547,"E":1653812037552}}"#,
        #"{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1791382993000,"s":"BTCUSDT","p":"83084.30000000","ap":"83084.30000000","P":"83195.15881449","i":"83123.65891304","r":"0.00000078","T":1791388800000,"st":1}}"#,
        #"{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate","E":1617308820003,"s":"BTCUSDT","p":"58940.14924532","P":"58905.14663658","i":"58857.26693664","r":"-0.00058455","T":1617321600000}}"#,
        #"{"stream":"!ticker@arr","data":[{"e":"24hrTicker","E":1791382992307,"s":"XPTUSDT","ps":"XPTUSDT","p":"-54.1500","P":"-3.211","w":"1664.1148","c":"1632.4800","Q":"0.006","o":"1686.6300","h":"1716.8500","l":"1613.6200","v":"7406.798","q":"12325762.2149","O":1791296580000,"C":1791382992306,"F":19210546,"L":19266957,"n":56401,"st":1},{"e":"24hrTicker","E":1791382992429,"s":"BTCUSD_PERP","ps":"BTCUSD","p":"-3074.5","P":"-3.570","w":"84473.21726735","c":"83050.5","Q":"118","o":"86125.0","h":"86650.0","l":"82691.4","v":"9776718","q":"11573.7","O":1791296580000,"C":1791382992429,"F":1157488402,"L":1157684367,"n":195963,"st":2}]}"#,
        #"{"stream":"!markPrice@arr@1s","data":[{"e":"markPriceUpdate","E":1791382992684,"s":"XAUUSDT","p":"4103.92233180","ap":"4103.92233180","P":"4098.72755326","i":"4100.14187735","r":"0.00019799","T":1791388800000,"st":1},{"e":"markPriceUpdate","E":1654858230006,"s":"BTCUSD_220930","p":"30224.07093030","P":"29910.05037677","r":"","T":0,"st":2}]}"#,
        #"{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":123456789,"s":"BNBUSDT","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","ps":"BTCUSDT","st":1}]}"#,
        #"{"error":{"code":4,"msg":"Too many subscriptions"},"id":7}"#,
    ]

    static let coinm: [String] = [
        #"{"stream":"btcusd_perp@trade","data":{"e":"trade","E":1790373534694,"T":1790373534694,"s":"BTCUSD_PERP","t":1155839922,"p":"83781.6","q":"1","X":"MARKET","m":false}}"#,
        #"{"stream":"btcusd_perp@bookTicker","data":{"e":"bookTicker","u":11660059839759,"s":"BTCUSD_PERP","ps":"BTCUSD","b":"83732.4","B":"680","a":"83732.5","A":"2458","T":1790373637547,"E":1790373637547,"st":2}}"#,
        #"{"stream":"btcusd_perp@bookTicker","data":{"u":1007198632021,"e":"bookTicker","s":"BTCUSD_PERP","ps":"BTCUSD","b":"61804.7","B":"35","a":"61804.8","A":"1645","T":1723161257465,"E":1723161257476}}"#,
        #"{"stream":"btcusd_perp@markPrice","data":{"e":"markPriceUpdate","E":1654858059000,"s":"BTCUSD_PERP","p":"29963.57277273","P":"29908.20423394","r":"0.00010000","T":1654876800000}}"#,
        #"{"stream":"!markPrice@arr","data":[{"e":"markPriceUpdate","E":1654858230006,"s":"BTCUSD_PERP","p":"29958.10000000","P":"29910.05037677","r":"0.00010000","T":1654876800000},{"e":"markPriceUpdate","E":1654858230006,"s":"BTCUSD_220624","p":"29996.97713232","P":"29910.05037677","r":"","T":0}]}"#,
        #"{"stream":"btcusd_perp@miniTicker","data":{"e":"24hrMiniTicker","E":1654860720712,"s":"BTCUSD_PERP","ps":"BTCUSD","c":"29986.0","o":"30383.9","h":"30419.7","l":"29500.2","v":"26124208","q":"86919.57359637","st":2}}"#,
        #"{"stream":"btcusd_perp@ticker","data":{"e":"24hrTicker","E":1654861022999,"s":"BTCUSD_PERP","ps":"BTCUSD","p":"-353.7","P":"-1.164","w":"30054.90285469","c":"30025.1","Q":"48","o":"30378.8","h":"30419.7","l":"29500.2","v":"26128574","q":"86936.14524835","O":1654774620000,"C":1654861022993,"F":447799573,"L":448216180,"n":416590,"st":1}}"#,
    ]

    /// COIN-M put `u` first until 2024 at least; it is read by keys.
    static let oldBookTicker = #"{"stream":"btcusd_perp@bookTicker","data":{"u""#

    /// A frame and the market that it is read in. The last spot frames are answers, which are the same on all.
    struct Seed: CustomStringConvertible, Sendable {
        var market: String
        var number: Int
        var frame: [UInt8] { Array(Seeds.of(market)[number].utf8) }
        var description: String { "\(market) \(number)" }
    }

    static let all = ["spot", "usdm", "coinm"].flatMap { market in
        Seeds.of(market).indices.map { Seed(market: market, number: $0) }
    }

    static func of(_ market: String) -> [String] {
        market == "spot" ? spot : market == "usdm" ? usdm : coinm
    }

    /// The streams of a market's seeds that can be asked for.
    static func streams(of market: String) -> [String] {
        of(market).compactMap { DifferentialTests.streamName(Array($0.utf8)) }.filter {
            !$0.contains("depth")
        }
    }
}
