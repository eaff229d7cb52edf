import Testing

@testable import feed_replayer

@Suite struct ControlGrammarTests {
    private func read(_ text: String) throws(RequestRefusal) -> (request: ControlRequest, id: String) {
        try ControlGrammar.read(Array(text.utf8))
    }

    private func refusal(_ text: String) -> RequestRefusal? {
        do {
            _ = try read(text)
            return nil
        } catch {
            return error
        }
    }

    @Test func readsEveryMethod() throws {
        let subscribe = try read(#"{"method":"SUBSCRIBE","params":["btcusdt@trade","a@kline_1m"],"id":1}"#)
        #expect(subscribe.request == .subscribe(["btcusdt@trade", "a@kline_1m"]))
        #expect(subscribe.id == "1")
        let unsubscribe = try read(
            #" { "id" : -7 , "params" : [ "!miniTicker@arr" ] , "method" : "UNSUBSCRIBE" } "#)
        #expect(unsubscribe.request == .unsubscribe(["!miniTicker@arr"]))
        #expect(unsubscribe.id == "-7")
        #expect(try read(#"{"method":"LIST_SUBSCRIPTIONS","id":"abc9"}"#).id == #""abc9""#)
        #expect(try read(#"{"method":"LIST_SUBSCRIPTIONS"}"#).id == "null")
        #expect(
            try read(#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#).request
                == .setCombined(true))
        #expect(try read(#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#).request == .getCombined)
        let escaped = try read(#"{"method":"SUBSCRIBE","params":["\u5e01\u5B89usdt@trade"],"id":null}"#)
        #expect(escaped.request == .subscribe(["币安usdt@trade"]))
    }

    @Test(arguments: [
        (0, "Unknown property", #"{"method":"GET_PROPERTY","params":["speed"],"id":1}"#),
        (
            1, "Invalid value type: expected Boolean",
            #"{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}"#
        ),
        (
            1, "Invalid value type: expected Boolean",
            #"{"method":"SET_PROPERTY","params":["combined"],"id":1}"#
        ),
        (
            2, "Invalid request: property name must be a string",
            #"{"method":"GET_PROPERTY","params":[7],"id":1}"#
        ),
        (
            2, "Invalid request: too many parameters",
            #"{"method":"GET_PROPERTY","params":["combined",1],"id":1}"#
        ),
        (2, "Invalid request: missing field `method` at line 1 column 8", #"{"id":1}"#),
        (
            2,
            "Invalid request: unknown variant BUY, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 28",
            #"{"method":"BUY","id":1}"#
        ),
        (2, "Invalid request: invalid stream", #"{"method":"SUBSCRIBE","params":["btcusdt"],"id":1}"#),
        (2, "Invalid request: invalid stream", #"{"method":"SUBSCRIBE","params":["btc usdt@trade"],"id":1}"#),
        (2, "Invalid request: invalid stream", #"{"method":"SUBSCRIBE","params":[5],"id":1}"#),
        (3, "Invalid JSON: expected value at line 1 column 2", "{not json"),
        (3, "Invalid JSON: expected value at line 2 column 3", "[1,\n2,"),
    ])
    func refusesInTheExchangesWords(_ code: Int, _ message: String, _ text: String) {
        #expect(refusal(text)?.code == code)
        #expect(refusal(text)?.message == message)
    }

    @Test func refusesIDsOfOtherShapes() {
        for id in [
            "1.5", "true", #""with space""#, "\"\(String(repeating: "a", count: 37))\"",
            "99999999999999999999",
        ] {
            let refusal = refusal(#"{"method":"LIST_SUBSCRIPTIONS","id":\#(id)}"#)
            #expect(refusal?.message == "Invalid request: request ID must be an unsigned integer", "id \(id)")
            #expect(refusal?.id == "null")
        }
    }

    @Test func hasBothShapesOfErrors() {
        let refusal = RequestRefusal(code: 0, message: "Unknown \"property\"", id: "4")
        #expect(
            ControlGrammar.answer(refusal, shape: .wire)
                == #"{"error":{"code":0,"msg":"Unknown \"property\""},"id":4}"#)
        #expect(
            ControlGrammar.answer(refusal, shape: .documented)
                == #"{"code":0,"msg":"Unknown \"property\"","id":4}"#)
        #expect(ControlGrammar.answer("null", id: "1") == #"{"result":null,"id":1}"#)
    }

    @Test func acknowledgesNamesThatNeedNotExist() {
        for name in [
            "BTCUSDT@aggTrade", "nosuch@trade", "btcusdt@kline_1m@+08:00", "!ticker@arr", "币安人生usdt@trade",
        ] {
            #expect(ControlGrammar.isWellFormed(name), "\(name)")
        }
        for name in [
            "", "!", "btcusdt", "@trade", "btcusdt@", "a@@b", "a@b/c@d",
            String(repeating: "a", count: 200) + "@trade",
        ] {
            #expect(!ControlGrammar.isWellFormed(name), "\(name)")
        }
    }
}
