/// The links that are read without asking the kernel first which of them have something. Where they are one or two, as
/// for a lane whose streams fit on one connection, the question costs as much as the answer: with them left out a
/// message is in the ring half a microsecond earlier.
struct DirectLinks {
    /// So many at most: the capacity of `links`.
    static let limit = 2
    /// Looks that go by the links alone before the kernel is asked again: for what else a socket may have to tell, and
    /// for the waker of a thread that never parks.
    static let looks = 15

    fileprivate var links = InlineArray<2, Int>(repeating: 0)
    fileprivate var count = 0
    /// Of the reactor's changes, how many are known.
    fileprivate var changesSeen = -1
    fileprivate var looksLeft = 0
}

/// Reading without the reactor.
extension WireStage {
    /// hot: whether the open links were read, what they brought being added to `work`. False: the kernel is to be asked.
    mutating func readDirectly(_ work: inout Int) -> Bool {
        guard direct.looksLeft > 0, direct.changesSeen == reactor.changes else {
            findDirectLinks()
            return false
        }
        direct.looksLeft &-= 1
        for index in 0..<direct.count {
            let link = direct.links[index]
            // What waits in memory is read in every cycle as it is.
            if !isPending(link) { work &+= readSlot(link) }
        }
        return true
    }

    /// All that are watched, where these are open links and few; none otherwise. Not for io_uring, which is asked without
    /// a call of the kernel.
    private mutating func findDirectLinks() {
        direct.looksLeft = 0
        direct.count = 0
        guard reactor.backend == .epoll, reactor.watched > 0, reactor.watched <= DirectLinks.limit else {
            return
        }
        for link in 0..<machines.count * LinkIndex.sides where connections[link].phase == .open {
            guard direct.count < DirectLinks.limit else { return }
            direct.links[direct.count] = link
            direct.count += 1
        }
        guard direct.count == reactor.watched else { return }
        direct.changesSeen = reactor.changes
        direct.looksLeft = DirectLinks.looks
    }
}
