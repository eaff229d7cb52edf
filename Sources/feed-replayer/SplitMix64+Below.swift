import MarketData

extension SplitMix64 {
    /// A number below `bound`, by multiplication: the bias is below 2^-32 for the bounds in use.
    mutating func below(_ bound: Int) -> Int { Int(((next() &>> 32) &* UInt64(bound)) &>> 32) }
}
