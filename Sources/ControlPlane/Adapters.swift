import BinanceAdapter
import ExchangeAdapter

/// The adapters that are built in.
public enum Adapters {
    /// By order of documentation.
    public static let all: [any ExchangeAdapter.Type] = [BinanceAdapter.self]
}
