import CURing
import Glibc
import Testing

@testable import Wire

@Suite struct URingTests {
    /// Both answers are right on some machine; that they agree must hold on all.
    @Test func theProbeAndItsWordsAgree() {
        var step: UnsafePointer<CChar>?
        let code = cu_probe(&step)
        let problem = URing.problem()
        #expect((problem == nil) == (code == 0))
        if let problem { #expect(problem.contains("errno \(-code)")) }
        let chosen = ReactorBackend.choose(.uring)
        #expect(chosen.choice == (problem == nil ? .uring : .epoll))
        #expect(chosen.problem == problem)
        #expect(ReactorBackend.choose(.epoll).choice == .epoll)
    }

    /// Shows as skipped, with the reason, where the suites on both backends ran with epoll alone.
    @Test(.enabled(if: URing.problem() == nil, "io_uring is not to be had: \(URing.problem() ?? "")"))
    func theSuitesRanOnIOURing() { #expect(OnBothBackends.available == [.epoll, .uring]) }

    @Test(arguments: [
        (EPERM, nil, "seccomp"), (EPERM, 0, "seccomp"), (EPERM, 1, "io_uring_group"),
        (EPERM, 2, "set it to 0"),
        (ENOSYS, nil, "sandbox"), (EINVAL, nil, "Linux 6.0"), (ENOMEM, nil, "ulimit -l"),
        (EMFILE, nil, "ulimit -n"),
        (EIO, nil, "errno 5"),
    ])
    func causesAreNamed(code: Int32, disabled: Int?, word: String) {
        #expect(URing.cause(code: code, disabled: disabled, release: "5.4.0").contains(word))
    }

    /// No ring where there are no descriptors to be had: epoll would serve, and the reason is given.
    @Test func aRingThatCannotBeMadeSaysWhy() {
        var failure = cu_failure()
        let ring = cu_ring_new(
            cu_settings(submissions: 0, completions: 0, buffers: 3, buffer_bytes: 0, eager: 0), -1, &failure)
        #expect(ring == nil)
        #expect(failure.code == EINVAL)
        let words = URing.words(step: failure.step, code: failure.code)
        #expect(words.contains("receive buffers") || words.contains("making a ring"))
    }
}
