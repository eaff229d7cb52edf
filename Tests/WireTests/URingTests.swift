import CURing
import Testing

@testable import Wire

@Suite struct URingTests {
    /// Both answers are right on some machine; that they agree must hold on all.
    @Test func theProbeAndItsWordsAgree() {
        let code = cu_probe()
        let problem = URing.problem()
        #expect((problem == nil) == (code >= 0))
        if let problem { #expect(problem.contains("errno \(-code)")) }
    }
}
