// swift-tools-version: 6.1
import PackageDescription

/// A target a stage. Each checks its answers, and that it makes no more calls of allocators and of Swift's runtime than
/// `thresholds.json` allows, before it measures. `load/` holds the whole-process figures.
let package = Package(
    name: "collector-benchmarks",
    dependencies: [
        .package(name: "exchange-collector", path: ".."),
        // Without its traits: no malloc interposer, so its allocation counts are not to be used; see CallCounts.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "CallCounts", path: "CallCounts"),
        .target(name: "StageGate", dependencies: ["CallCounts"], path: "StageGate"),
        .target(
            name: "StageSupport",
            dependencies: [.product(name: "CollectorStages", package: "exchange-collector")],
            path: "StageSupport"),
        .executableTarget(
            name: "ScanningBenchmarks", dependencies: stages, path: "ScanningBenchmarks", plugins: plugins),
        .executableTarget(
            name: "ReceivingBenchmarks", dependencies: stages, path: "ReceivingBenchmarks", plugins: plugins),
        .executableTarget(
            name: "LaneBenchmarks", dependencies: stages, path: "LaneBenchmarks", plugins: plugins),
        .executableTarget(
            name: "RingBenchmarks", dependencies: stages, path: "RingBenchmarks", plugins: plugins),
        .executableTarget(
            name: "DecoderBenchmarks", dependencies: stages, path: "DecoderBenchmarks", plugins: plugins),
        .executableTarget(
            name: "BatchBenchmarks", dependencies: stages, path: "BatchBenchmarks", plugins: plugins),
        // Against simdjson and others; started by rivals/run. Not beside the targets above: whatever is there the benchmark
        // command takes for one of its own.
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

var plugins: [Target.PluginUsage] { [.plugin(name: "BenchmarkPlugin", package: "benchmark")] }
