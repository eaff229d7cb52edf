import Testing

@testable import Wire

/// Runs each test of a suite once with every backend that this machine has.
struct OnBothBackends: SuiteTrait, TestTrait, TestScoping {
    /// The one that a test is running with.
    @TaskLocal static var current = ReactorBackend.epoll
    static let available = ReactorBackend.allCases.filter { $0 == .epoll || URing.problem() == nil }

    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        for backend in OnBothBackends.available {
            try await OnBothBackends.$current.withValue(backend) { try await function() }
        }
    }
}

extension Trait where Self == OnBothBackends {
    static var onBothBackends: Self { OnBothBackends() }
}
