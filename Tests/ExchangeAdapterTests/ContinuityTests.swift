import MarketData
import Testing

@testable import ExchangeAdapter

@Suite struct ContinuityTests {
    @Test func tellsWhatIsMissing() {
        var continuity = Continuity(instrumentCapacity: 10)
        func follow(_ id: Int64, instrument: UInt32 = 1, aggregate: Bool = false, connection: UInt64 = 1)
            -> Int64?
        {
            continuity.follow(id: id, instrument: instrument, isAggregate: aggregate, connection: connection)?
                .firstMissing
        }
        // The first id tells nothing, the next ones follow.
        #expect(follow(100) == nil)
        #expect(follow(101) == nil)
        #expect(follow(105) == 102)
        #expect(follow(106) == nil)
        // What is not above the last one tells nothing and changes nothing.
        #expect(follow(103) == nil)
        #expect(follow(106) == nil)
        #expect(follow(108) == 107)
        // Instruments and kinds are followed apart.
        #expect(follow(7, instrument: 2) == nil)
        #expect(follow(50, aggregate: true) == nil)
        #expect(follow(52, aggregate: true) == 51)
        #expect(follow(109) == nil)
        #expect(follow(absentInteger) == nil)
        #expect(follow(110) == nil)
    }

    @Test func tellsAReconnectApart() {
        var continuity = Continuity(instrumentCapacity: 1)
        _ = continuity.follow(id: 1, instrument: 1, isAggregate: false, connection: 1)
        let inside = continuity.follow(id: 3, instrument: 1, isAggregate: false, connection: 1)
        #expect(inside?.isReconnected == false)
        let across = continuity.follow(id: 9, instrument: 1, isAggregate: false, connection: 2)
        #expect(across?.isReconnected == true)
        #expect(across?.firstMissing == 4)
        let later = continuity.follow(id: 11, instrument: 1, isAggregate: false, connection: 2)
        #expect(later?.isReconnected == false)
    }
}
