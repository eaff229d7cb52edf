import ArgumentParser

/// Which of the exchange's stream hosts the server is.
enum Market: String, ExpressibleByArgument, CaseIterable {
    case spot, usdm, coinm

    /// Messages that a client may send in a second.
    var messageLimit: Int { self == .spot ? 5 : 10 }
}
