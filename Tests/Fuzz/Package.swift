// swift-tools-version: 6.2
import PackageDescription

/// Fuzzing with libFuzzer, a package of its own because everything in it is instrumented. How to: see `run`.
let package = Package(
    name: "fuzz",
    dependencies: [.package(name: "exchange-collector", path: "../..")],
    targets: [
        .executableTarget(
            name: "FuzzDecoder",
            dependencies: [.product(name: "CollectorStages", package: "exchange-collector")],
            swiftSettings: [.unsafeFlags(["-parse-as-library", "-sanitize=fuzzer"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])])
    ],
    swiftLanguageModes: [.v6]
)
