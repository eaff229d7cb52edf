import ExchangeAdapter
import Wire

extension ParserLink {
    /// What each link of a lane's slots brings, by link index. `sides`: links of a slot; with two, link `slot * 2 +
    /// side` is a slot's `side`, with one, links are slots.
    public static func table(of plans: [ConnectionPlan], sides: Int) -> [ParserLink] {
        let pairedShards = Set(plans.filter { $0.leg == 1 }.map(\.shard))
        return plans.sorted { $0.slot < $1.slot }.flatMap { plan in
            (0..<sides).map { side in
                ParserLink(
                    market: plan.market, shard: plan.shard, member: plan.leg * 2 + side,
                    isPaired: pairedShards.contains(plan.shard))
            }
        }
    }
}
