import CCurl
import SyntheticBatches
import Testing

@testable import Publishing

private func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue ?? 0) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

@Suite struct ProtobufTests {
    @Test func aRequestIsEncodedAsTheOfficialLibraryDoes() {
        let topic = Protobuf.field(1, "projects/test/topics/md.trade".utf8)
        let key = Protobuf.field(5, "BTCUSDT".utf8)
        var encoder = MessageEncoder(runID: 0)
        encoder.describeNothing()
        let out = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 8)
        defer { out.deallocate() }
        let first = ([0, 1, 0x68, 0x69] as [UInt8]).withUnsafeBytes {
            encoder.write(data: $0, fixed: Protobuf.attribute("v", "1"), key: key, to: out)
        }
        let second = [UInt8](repeating: UInt8(ascii: "x"), count: 130).withUnsafeBytes {
            encoder.write(data: $0, fixed: [], key: key, to: out + first)
        }
        let messages = Array(UnsafeRawBufferPointer(start: out, count: first + second))
        // Made with the official Python library, google-cloud-pubsub 2.44.0.
        let wanted = bytes(
            """
            0a1d 70726f6a656374732f746573742f746f706963732f6d642e7472616465
            1217 0a0400016869 1206 0a0176 120131 2a07 42544355534454
            128e01 0a8201 \(String(repeating: "78", count: 130)) 2a07 42544355534454
            """)
        #expect(topic + messages == wanted)
        #expect(wanted.count == 201)
        var block = BufferPool(limit: 4096)
        let parcel = Parcel(block: block.take(206), end: Parcel.prefix)
        wanted.withUnsafeBytes { bytes in
            var to = parcel.block.base + parcel.end
            Protobuf.copy(bytes, to: &to)
        }
        parcel.end += wanted.count
        #expect(Array(parcel.body()) == bytes("00000000c9") + wanted)
        block.give(parcel.block)
    }

    @Test func lengthsThatNeedSeveralBytesAreRight() {
        for (value, size) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (9_500_000, 4)] {
            #expect(Protobuf.varintSize(value) == size)
            let field = Protobuf.field(3, [UInt8](repeating: 0, count: value))
            #expect(field.count == 1 + size + value)
            field.withUnsafeBytes { raw in
                var reader = ProtobufReader(raw)
                guard let (number, content) = reader.next(), case .bytes(let read) = content else {
                    Issue.record("\(value) cannot be read")
                    return
                }
                #expect(number == 3 && read.count == value)
                #expect(reader.next() == nil && !reader.isMalformed)
            }
        }
    }

    @Test func attributesTakeTheLargestNumbers() {
        var encoder = MessageEncoder(runID: .max)
        encoder.describe(
            MessageEncoder.Extent(
                count: .max, firstSequence: .max, lastSequence: .max, firstEventTime: .min,
                lastEventTime: .max,
                batch: .max, index: 999_999))
        let limit = MessageEncoder.sizeLimit(data: 0, fixed: 0, key: 0)
        let out = UnsafeMutableRawPointer.allocate(byteCount: limit, alignment: 8)
        defer { out.deallocate() }
        let count = encoder.write(
            data: UnsafeRawBufferPointer(start: nil, count: 0), fixed: [], key: [], to: out)
        #expect(count < limit)
        let messages = PublishedRequest.messages(UnsafeRawBufferPointer(start: out, count: count))
        #expect(
            messages?.first?.attributes == [
                "count": "18446744073709551615", "first_sequence": "18446744073709551615",
                "last_sequence": "18446744073709551615", "first_event_time": "-9223372036854775808",
                "last_event_time": "9223372036854775807",
                "batch_id": "ffffffffffffffff-18446744073709551615-999999",
            ])
    }

    @Test func answersAreCountedAndGarbageIsNot() {
        let ids = bytes("0a1039383736353433323130313233343536 0a1039383736353433323130313233343537")
        let whole: [UInt8] = [0, 0, 0, 0, 36] + ids
        func count(_ bytes: [UInt8]) -> Int? { bytes.withUnsafeBytes { PubSubAnswer.messageIDs($0) } }
        #expect(count(whole) == 2)
        #expect(count([0, 0, 0, 0, 0]) == 0)
        for length in 0..<whole.count { #expect(count(Array(whole[..<length])) == nil) }
        #expect(count(whole + [0]) == nil)
        #expect(count([1] + whole.dropFirst()) == nil)
        #expect(count([0, 0, 0, 0, 2, 0x0A, 0x7F]) == nil)
        #expect(count([0, 0, 0, 0, 3, 0xFF, 0xFF, 0xFF]) == nil)
    }

    @Test func theWaitThatTheServiceAsksForIsRead() {
        let vector =
            "CAgSBXF1b3RhGjYKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SCgoICAEQgMq17gE="
        #expect(PubSubAnswer.retryDelay(details: vector) == 1_500_000_000)
        #expect(PubSubAnswer.retryDelay(details: String(vector.dropLast())) == 1_500_000_000)
        #expect(PubSubAnswer.retryDelay(details: "") == nil)
        #expect(PubSubAnswer.retryDelay(details: "CAgSBXF1b3Rh") == nil)
        #expect(PubSubAnswer.retryDelay(details: "*") == nil)
        for length in 0..<vector.count { _ = PubSubAnswer.retryDelay(details: String(vector.prefix(length))) }
    }
}

/// A PublishRequest read back.
enum PublishedRequest {
    struct Message: Equatable {
        var data: [UInt8] = []
        var attributes: [String: String] = [:]
        var key = ""
    }

    /// The topic and messages of a whole HTTP body.
    static func read(_ body: UnsafeRawBufferPointer) -> (topic: String, messages: [Message])? {
        guard body.count >= 5, body[0] == 0, body.count == 5 + body[1..<5].reduce(0, { $0 << 8 | Int($1) })
        else {
            return nil
        }
        let request = UnsafeRawBufferPointer(rebasing: body[5...])
        var reader = ProtobufReader(request)
        guard case (1, .bytes(let topic))? = reader.next(), let messages = messages(request) else {
            return nil
        }
        return (String(decoding: topic, as: UTF8.self), messages)
    }

    static func messages(_ request: UnsafeRawBufferPointer) -> [Message]? {
        var reader = ProtobufReader(request)
        var messages: [Message] = []
        while let (number, value) = reader.next() {
            guard number == 2, case .bytes(let content) = value else { continue }
            guard let message = message(content) else { return nil }
            messages.append(message)
        }
        return reader.isMalformed ? nil : messages
    }

    private static func message(_ content: UnsafeRawBufferPointer) -> Message? {
        var reader = ProtobufReader(content)
        var message = Message()
        while let (number, value) = reader.next() {
            guard case .bytes(let bytes) = value else { return nil }
            switch number {
            case 1: message.data = Array(bytes)
            case 2:
                var entry = ProtobufReader(bytes)
                guard case (1, .bytes(let key))? = entry.next(), case (2, .bytes(let text))? = entry.next()
                else {
                    return nil
                }
                message.attributes[String(decoding: key, as: UTF8.self)] = String(
                    decoding: text, as: UTF8.self)
            case 5: message.key = String(decoding: bytes, as: UTF8.self)
            default: return nil
            }
        }
        return reader.isMalformed ? nil : message
    }
}

@Suite struct RequestOutcomeTests {
    private func outcome(
        curl: Int32 = 0, http: Int32 = 200, version: Int32 = 2, grpc: Int32 = -1, response: [UInt8] = [],
        messages: Int? = 2, text: String = ""
    ) -> RequestOutcome {
        text.withCString { text in
            response.withUnsafeBufferPointer { response in
                var result = cc_result()
                result.curl_code = curl
                result.http_status = http
                result.http_version = version
                result.grpc_status = grpc
                result.grpc_message = text
                result.status_details = ("" as StaticString).withUTF8Buffer { empty in
                    UnsafeRawPointer(empty.baseAddress)?.assumingMemoryBound(to: CChar.self)
                }
                result.error = text
                result.response = response.baseAddress
                result.response_size = response.count
                return RequestOutcome(result, messages: messages)
            }
        }
    }

    private let twoIDs: [UInt8] = [0, 0, 0, 0, 6, 0x0A, 1, 0x31, 0x0A, 1, 0x32]

    @Test func statusesAreTakenAsTheyAre() {
        for code in PublishCode.allCases {
            #expect(outcome(grpc: Int32(code.rawValue), text: "why").code == code)
        }
        #expect(outcome(grpc: 99).code == .unknown)
        #expect(outcome(grpc: 7, text: "no").text == "no")
        #expect(outcome(grpc: 0).isLinkFault == false)
    }

    @Test func aWholeAnswerWithoutStatusIsASuccessAndCounted() {
        let whole = outcome(response: twoIDs)
        #expect(whole.code == .ok && whole.lacksStatus)
        for (response, messages) in [(twoIDs, 3), (Array(twoIDs.dropLast()), 2), ([], 2)] {
            let result = outcome(response: response, messages: messages)
            #expect(result.code == .unknown && result.lacksStatus && !result.isLinkFault)
        }
    }

    @Test func httpStatusesStandInWhereGrpcIsSilent() {
        for (status, code) in [
            (400, PublishCode.internal), (401, .unauthenticated), (403, .permissionDenied),
            (404, .unimplemented),
            (429, .unavailable), (502, .unavailable), (503, .unavailable), (504, .unavailable),
            (302, .unknown),
        ] {
            #expect(outcome(http: Int32(status), response: twoIDs).code == code)
        }
    }

    @Test func faultsOfTheConnectionAreToldFromFaultsOfTheRequest() {
        #expect(outcome(curl: 92) == RequestOutcome(.unknown, text: String(cString: cc_code_text(92))))
        let timeout = outcome(curl: 28)
        #expect(timeout.code == .deadlineExceeded && timeout.isLinkFault)
        for code: Int32 in [6, 7, 16, 18, 35, 52, 55, 56] {
            let result = outcome(curl: code, text: "words")
            #expect(result.code == .unavailable && result.isLinkFault && result.text == "words")
        }
        // Of certificates the remedy is told, too.
        for code: Int32 in [60, 77] {
            let result = outcome(curl: code, text: "words")
            #expect(result.code == .unavailable && result.isLinkFault)
            #expect(result.text.hasPrefix("words") && result.text.contains("SSL_CERT_FILE"))
        }
        // An HTTP/1 answer, even a friendly one, was not given by a gRPC service.
        let old = outcome(version: 1, response: twoIDs)
        #expect(old.code == .unavailable && old.isLinkFault)
    }
}
