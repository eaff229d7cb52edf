/// The links that are read without asking the kernel first which of them have something. Where they are one or two, as
/// for a lane whose streams fit on one connection, that question is a call of the kernel for a message more.
struct DirectLinks {
    /// So many at most: the capacity of `links`.
    static let limit = 2
    /// Looks that go by the links alone before the kernel is asked again for what else a socket may have to tell.
    static let looks = 15

    fileprivate var links = InlineArray<2, Int>(repeating: 0)
    fileprivate var count = 0
    /// The reactor's changes when they were found; -1: they are to be looked for.
    fileprivate var changesSeen = -1
    fileprivate var looksLeft = 0
}

/// Reading without the reactor.
extension WireStage {
    /// hot: whether the open links were read, what they brought being added to `work`. False: the kernel is to be asked.
    mutating func readDirectly(_ work: inout Int) -> Bool {
        guard direct.changesSeen == reactor.changes, direct.looksLeft > 0 else {
            if direct.changesSeen != reactor.changes { findDirectLinks() }
            direct.looksLeft = direct.changesSeen == reactor.changes ? DirectLinks.looks : 0
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
        direct.changesSeen = -1
        direct.count = 0
        guard reactor.backend == .epoll, reactor.watched > 0, reactor.watched <= DirectLinks.limit else {
            return
        }
        for link in 0..<machines.count * LinkIndex.sides where connections[link].phase == .open {
            guard direct.count < DirectLinks.limit else { return }
            direct.links[direct.count] = link
            direct.count += 1
        }
        if direct.count == reactor.watched { direct.changesSeen = reactor.changes }
    }
}
