/// How a slot stands, for who watches it from another thread.
struct SlotStanding {
    var state: ConnectionState
    /// Connections that are being opened, are open, or are being closed.
    var sockets: Int
    /// The primary's generation; 0: there is none.
    var primary: UInt32
    /// By side: the generation of the connection that is open; 0: none is.
    var open: InlineArray<2, UInt32>
}

extension SlotMachine {
    /// How it stands now.
    var standing: SlotStanding {
        var open: InlineArray<2, UInt32> = [0, 0]
        for side in 0..<2 where links[side].phase == .open { open[side] = links[side].generation }
        return SlotStanding(
            state: state, sockets: socketCount, primary: primary.map { links[$0].generation } ?? 0, open: open
        )
    }
}
