import CKernel
import Rings
import Wire

/// Why a run could not be made.
struct SuiteFailure: Error, CustomStringConvertible { let description: String }

/// A run through all cases that the suite's server was started for.
struct SuiteRun: ~Copyable {
    let settings: ConnectionSettings
    let agent: String
    /// Cases at the same time.
    let jobs: Int
    let isVerbose: Bool
    private let mailbox: ResolverStage.Mailbox
    private var resolver: ResolverStage

    init(settings: ConnectionSettings, agent: String, jobs: Int, isVerbose: Bool) throws(RingError) {
        self.settings = settings
        self.agent = agent
        self.jobs = jobs
        self.isVerbose = isVerbose
        let waker = try Waker()
        mailbox = ResolverStage.Mailbox(waker: waker)
        resolver = ResolverStage(mailbox: mailbox, waker: waker)
    }

    /// Asks for the number of cases, runs them, has the reports written. Returns the number of cases.
    mutating func run() throws -> Int {
        let text = String(decoding: try fetch("/getCaseCount"), as: UTF8.self)
        guard let count = Int(text), count >= 0 else {
            throw SuiteFailure(
                description: "\(settings.endpoint)/getCaseCount says \"\(text)\"; is it the Autobahn server?")
        }
        var next = 1
        var running: [(number: Int, connection: EchoConnection)] = []
        while next <= count || !running.isEmpty {
            while running.count < jobs, next <= count {
                let target = "/runCase?case=\(next)&agent=\(agent)"
                running.append(
                    (next, try EchoConnection(target, settings, resolver: mailbox, echoes: true)))
                next += 1
            }
            var work = resolver.doWork()
            for item in running { work += item.connection.turn() }
            for item in running where item.connection.isOver { try judge(item.number, item.connection) }
            running.removeAll { $0.connection.isOver }
            rest(work)
        }
        _ = try fetch("/updateReports?agent=\(agent)")
        return count
    }

    private func judge(_ number: Int, _ connection: EchoConnection) throws {
        let story = connection.story
        guard connection.wasOpen else {
            throw SuiteFailure(description: "case \(number) could not be run: \(story)")
        }
        if isVerbose { print("case \(number): \(story)") }
    }

    /// The last message of a connection that is only listened to.
    private mutating func fetch(_ target: String) throws -> [UInt8] {
        let connection = try EchoConnection(target, settings, resolver: mailbox, echoes: false)
        while !connection.isOver { rest(resolver.doWork() + connection.turn()) }
        guard connection.wasOpen else { throw SuiteFailure(description: connection.story) }
        return connection.message
    }

    /// All stages share this thread, so none of them may park in its own reactor.
    private func rest(_ work: Int) {
        if work == 0 { ck_sleep_nanos(50_000) }
    }
}
