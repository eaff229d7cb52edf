import Testing

@testable import Wire

@Suite struct DeflateOfferTests {
    private func agree(_ answer: String, _ change: (inout DeflateOffer) -> Void = { _ in })
        -> DeflateAgreement?
    {
        var offer = DeflateOffer()
        change(&offer)
        return try? DeflateAgreement(answer: answer, to: offer)
    }

    @Test func saysWhatIsOffered() {
        var offer = DeflateOffer()
        #expect(offer.text == "permessage-deflate; client_max_window_bits")
        offer.serverForgets = true
        offer.clientForgets = true
        offer.serverWindowBits = 10
        offer.clientWindowIsOpen = false
        #expect(
            offer.text == "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
                + " server_max_window_bits=10")
    }

    @Test func takesWhatAServerMayAnswer() {
        #expect(agree("permessage-deflate") == agree("  permessage-deflate\t "))
        let plain = agree("permessage-deflate")
        #expect(plain?.serverWindowBits == 15 && plain?.clientWindowBits == 15)
        #expect(plain?.serverForgets == false && plain?.clientForgets == false)
        let all = agree(
            "permessage-deflate; server_no_context_takeover;client_no_context_takeover ; "
                + "server_max_window_bits = 12; client_max_window_bits=\"9\"")
        #expect(all?.serverForgets == true && all?.clientForgets == true)
        #expect(all?.serverWindowBits == 12 && all?.clientWindowBits == 9)
        #expect(agree("permessage-deflate; server_max_window_bits=15; client_max_window_bits=15") == plain)
        #expect(agree("permessage-deflate; client_max_window_bits=\"1\\5\"") == plain)
        #expect(agree("permessage-deflate; server_max_window_bits=8")?.serverWindowBits == 8)
        #expect(agree("permessage-deflate; server_max_window_bits=9") { $0.serverWindowBits = 10 } != nil)
        #expect(agree("permessage-deflate") { $0.clientForgets = true }?.clientForgets == true)
    }

    @Test(arguments: [
        "", ";", "permessage-deflate;", "permessage-deflate,", "permessage-deflate, permessage-deflate",
        "x-webkit-deflate-frame", "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08", "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=\"10", "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=99999999999999999999",
        "permessage-deflate; mystery", "permessage-deflate; mystery=1", "permessage-deflate bzip",
        "permessage-deflate; client_max_window_bits=\"1 5\"",
    ])
    func refusesOthers(answer: String) { #expect(agree(answer) == nil) }

    @Test func refusesWhatDoesNotMatchTheOffer() {
        #expect(
            agree("permessage-deflate; client_max_window_bits=10") { $0.clientWindowIsOpen = false } == nil)
        #expect(agree("permessage-deflate") { $0.serverForgets = true } == nil)
        #expect(agree("permessage-deflate") { $0.serverWindowBits = 10 } == nil)
        #expect(agree("permessage-deflate; server_max_window_bits=11") { $0.serverWindowBits = 10 } == nil)
    }
}
