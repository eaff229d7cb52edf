import CKernel
import Rings
import Synchronization

/// Makes files outlast the machine on a thread of its own: a disk may take a second for it, and the publisher's thread has
/// other topics to look after. Jobs are done in order; there is room for a few, and who finds none does the job itself.
final class SpoolSyncer {
    /// What is to be synced.
    enum Job: Sendable {
        /// A segment's data; the descriptor is the job's own and closed by it.
        case data(segment: UInt32, file: Int32)
        /// The names in the directory.
        case directory
    }

    /// A job that ended, and 0 or a negative errno.
    typealias Outcome = (job: Job, code: Int32)

    /// Jobs that may wait.
    static let capacity = 64

    private let desk: Desk
    private let control: StageControl
    private let thread: StageThread

    /// What the two threads share.
    private final class Desk: Sendable {
        let jobs: CommandQueue<Job>
        let outcomes = Mutex<[Outcome]>([])
        let hasOutcomes = Atomic<Bool>(false)
        let files: SpoolFiles
        let directory: String

        init(files: SpoolFiles, directory: String, waker: Waker) {
            self.files = files
            self.directory = directory
            jobs = CommandQueue(capacity: SpoolSyncer.capacity, waker: waker)
        }

        func perform(_ job: Job) {
            let code: Int32
            switch job {
            case .data(_, let file):
                code = files.sync(file)
                ck_close(file)
            case .directory: code = files.syncDirectory(directory)
            }
            outcomes.withLock { $0.append((job, code)) }
            hasOutcomes.store(true, ordering: .releasing)
        }
    }

    private struct SyncStage: Stage {
        let desk: Desk
        let waker: Waker

        func doWork() -> Int {
            let jobs = desk.jobs.drain(limit: 1)
            for job in jobs { desk.perform(job) }
            return jobs.count
        }
        func hasInput() -> Bool { !desk.jobs.isEmpty }
        func parkLimit() -> Int64 { 1_000_000_000 }
        func park(nanos: Int64) { waker.wait(nanos: nanos) }
    }

    /// Starts the thread.
    init(files: SpoolFiles, directory: String) throws(RingError) {
        let control = try StageControl(name: "spool-sync")
        let desk = Desk(files: files, directory: directory, waker: control.waker)
        self.control = control
        self.desk = desk
        thread = try StageThread(control: control, idle: .park) {
            SyncStage(desk: desk, waker: control.waker)
        }
    }

    /// Puts a job behind the others; false where there is no room.
    func send(_ job: Job) -> Bool { desk.jobs.send(job) }

    /// The jobs that ended since the last call.
    func takeOutcomes() -> [Outcome] {
        guard desk.hasOutcomes.load(ordering: .acquiring) else { return [] }
        return desk.outcomes.withLock { outcomes in
            defer { outcomes = [] }
            desk.hasOutcomes.store(false, ordering: .relaxed)
            return outcomes
        }
    }

    /// Waits until all is done; nothing may follow.
    func end() {
        control.stop()
        thread.join()
        for job in desk.jobs.drain(limit: SpoolSyncer.capacity) { desk.perform(job) }
    }
}
