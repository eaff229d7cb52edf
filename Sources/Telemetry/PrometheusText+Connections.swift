import Rings

/// Slots, legs, streams and the budget of attempts.
extension PrometheusText {
    static func addSlots(_ snapshot: CollectorSnapshot, to page: inout MetricsPage) {
        func family(
            _ name: String, _ type: MetricsPage.Kind, _ help: String,
            _ value: (CollectorSnapshot.SlotCounts) -> Int
        ) {
            page.begin(name, type, help)
            for market in snapshot.markets {
                page.sample([("exchange", market.exchange)], value(market.slots))
            }
        }
        func family(
            _ name: String, _ type: MetricsPage.Kind, _ help: String, label: String,
            _ values: (CollectorSnapshot.SlotCounts) -> [String: Int]
        ) {
            page.begin(name, type, help)
            for market in snapshot.markets {
                for (key, count) in values(market.slots).sorted(by: { $0.key < $1.key }) {
                    page.sample([("exchange", market.exchange), (label, key)], count)
                }
            }
        }
        family("collector_connections_planned", .gauge, "Connections that the plan has.", \.planned)
        family(
            "collector_sockets", .gauge,
            "Sockets that are opening, open or closing; more than planned while connections are replaced.",
            \.sockets)
        family(
            "collector_handovers_total", .counter, "Connections replaced without a gap, by reason.",
            label: "reason", \.handovers)
        family(
            "collector_handovers_failed_total", .counter, "Replacements that did not come to deliver.",
            \.handoversFailed)
        family(
            "collector_handover_promotions_total", .counter,
            "Connections that ended while their replacement was being made.", \.promotions)
        family(
            "collector_probes_total", .counter,
            "Times that a silent connection was asked for its subscriptions.",
            \.probes)
        family(
            "collector_stream_suspects_total", .counter, "Streams that were silent beyond measure.",
            \.suspects)
        family(
            "collector_resubscriptions_total", .counter, "Streams that were asked for again.",
            \.resubscriptions)
        family(
            "collector_stream_revivals_total", .counter, "Suspected streams that delivered again.", \.revivals
        )
        family(
            "collector_streams_refused_total", .counter, "Streams that the exchange refuses.",
            \.refusedStreams)
        family("collector_streams", .gauge, "Streams by state.", label: "state", \.streams)
        page.begin(
            "collector_stream_silence_seconds", .gauge,
            "Since the last message of the delivering stream that has been quiet for longest.")
        for market in snapshot.markets {
            page.sample([("exchange", market.exchange)], seconds: Int(market.slots.quietestNanos))
        }
        addLegs(snapshot, to: &page)
        guard let attempts = snapshot.attempts else { return }
        page.begin(
            "collector_connection_attempts", .gauge, "Connection attempts in the window that ends now.")
        page.sample([], attempts.used)
        page.begin(
            "collector_connection_attempts_limit", .gauge, "Connection attempts that a window allows.")
        page.sample([], attempts.limit)
    }

    private static func addLegs(_ snapshot: CollectorSnapshot, to page: inout MetricsPage) {
        func each(_ body: ([(String, String)], CollectorSnapshot.LegCounts) -> Void) {
            for market in snapshot.markets {
                for leg in market.slots.legs {
                    body([("exchange", market.exchange), ("leg", "\(leg.leg)")], leg)
                }
            }
        }
        page.begin(
            "collector_leg_won_total", .counter, "Events that this leg of a redundant pair brought first.")
        each { page.sample($0, $1.won) }
        page.begin(
            "collector_leg_lost_total", .counter, "Ids that this leg did not bring; the other may have.")
        each { page.sample($0, $1.lost) }
        page.begin("collector_leg_lead_seconds", .histogram, "By how much this leg came first, where it did.")
        each { page.histogram($0, $1.lead, bounds: latencyBounds) }
    }
}
