import Testing

@testable import ControlPlane

@Suite struct RepairClientTests {
    private let date = "Sun, 06 Nov 1994 08:49:37 GMT"

    @Test func numbersAndDatesOfHeadersAreRead() {
        let lines = "HTTP/2 429\r\nX-Mbx-Used-Weight-1m: 1201 \r\nretry-after: \(date)\r\n\r\n"
        #expect(RepairClient.number(in: lines, header: "x-mbx-used-weight-1m") == 1_201)
        #expect(RepairClient.number(in: lines, header: "x-mbx-used-weight") == nil)
        // Six and a half seconds before: not asked again earlier than that.
        #expect(RepairClient.retryAfterSeconds(in: lines, wallNanos: 784_111_770_500_000_000) == 7)
        #expect(RepairClient.retryAfterSeconds(in: "Retry-After: 7\r\n", wallNanos: 0) == 7)
        #expect(RepairClient.retryAfterSeconds(in: "Retry-After: 999999\r\n", wallNanos: 0) == 259_200)
        #expect(RepairClient.retryAfterSeconds(in: "Retry-After: soon\r\n", wallNanos: 0) == nil)
        #expect(RepairClient.retryAfterSeconds(in: "HTTP/2 429\r\n", wallNanos: 0) == nil)
    }
}
