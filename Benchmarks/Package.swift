// swift-tools-version: 6.1
import PackageDescription

/// A target a stage. Each checks its answers, and that it makes no more calls of allocators and of Swift's runtime than
/// `thresholds.json` allows, before it measures. `stages/run` builds and runs them; `load/` holds the whole-process figures.
let package = Package(
    name: "collector-benchmarks",
    dependencies: [
        .package(name: "exchange-collector", path: ".."),
        // Without its traits: no malloc interposer, so its allocation counts are not to be used; see CallCounts. Without
        // its build plugin, which writes three lines of `@main`: SwiftPM can crash when it runs a plugin; see stages/run.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "CallCounts", path: "CallCounts"),
        .target(name: "StageGate", dependencies: ["CallCounts"], path: "StageGate"),
        .target(
            name: "StageSupport",
            dependencies: [.product(name: "CollectorStages", package: "exchange-collector")],
            path: "StageSupport"),
        .executableTarget(name: "ScanningBenchmarks", dependencies: stages, path: "ScanningBenchmarks"),
        .executableTarget(name: "ReceivingBenchmarks", dependencies: stages, path: "ReceivingBenchmarks"),
        .executableTarget(name: "LaneBenchmarks", dependencies: stages, path: "LaneBenchmarks"),
        .executableTarget(name: "RingBenchmarks", dependencies: stages, path: "RingBenchmarks"),
        .executableTarget(name: "DecoderBenchmarks", dependencies: stages, path: "DecoderBenchmarks"),
        .executableTarget(name: "BatchBenchmarks", dependencies: stages, path: "BatchBenchmarks"),
        // Against simdjson and others; started by rivals/run. Not beside the targets above: whatever is there
        // `swift package benchmark` takes for one of its own.
        .executableTarget(
            name: "rival-comparison",
            dependencies: [.product(name: "CollectorStages", package: "exchange-collector"), "StageSupport"],
            path: "rivals/comparison"),
    ],
    swiftLanguageModes: [.v6]
)

var stages: [Target.Dependency] {
    [
        .product(name: "CollectorStages", package: "exchange-collector"),
        .product(name: "Benchmark", package: "benchmark"),
        "StageGate", "StageSupport",
    ]
}
