// swift-tools-version: 6.2
import PackageDescription

/// One target a stage; each imports only what stands above it. Reading from top to bottom follows a message.
let package = Package(
    name: "exchange-collector",
    products: [
        .executable(name: "exchange-collector", targets: ["exchange-collector"]),
        .executable(name: "feed-replayer", targets: ["feed-replayer"]),
        // For consumers of the messages; the same in Python beside it.
        .library(name: "MarketReader", targets: ["MarketReader"]),
        // For Benchmarks/, which is a package of its own.
        .library(
            name: "CollectorStages",
            targets: [
                "MarketData", "Rings", "ByteScanning", "Wire", "ExchangeAdapter", "BinanceAdapter", "Parsing",
                "Batching",
                "CKernel", "CTLS", "CZstd",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.1"),
    ],
    targets: [
        // The C shim, a target a library.
        .target(name: "CKernel", path: "CSupport/kernel"),
        .target(
            name: "CTLS", dependencies: ["CKernel"], path: "CSupport/tls",
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(
            name: "CURing", dependencies: ["CKernel"], path: "CSupport/uring",
            linkerSettings: [.linkedLibrary("uring")]),
        .target(
            name: "CDeflate", path: "CSupport/deflate",
            linkerSettings: [.linkedLibrary("z")]),
        .target(
            name: "CCurl", path: "CSupport/curl",
            linkerSettings: [.linkedLibrary("curl")]),
        .target(
            name: "CZstd", path: "CSupport/zstd",
            linkerSettings: [.linkedLibrary("zstd")]),

        .target(name: "CDigits", path: "CSupport/digits"),

        // The way of a message.
        .target(name: "MarketData"),
        .target(name: "Rings", dependencies: ["CKernel"]),
        .target(name: "ByteScanning", dependencies: ["CDigits", "MarketData"]),
        .target(
            name: "Wire", dependencies: ["CKernel", "CTLS", "CURing", "CDeflate", "Rings", "MarketData"]),
        .target(
            name: "ExchangeAdapter", dependencies: ["CKernel", "MarketData", "Rings", "ByteScanning", "Wire"]),
        .target(
            name: "BinanceAdapter",
            dependencies: ["ExchangeAdapter", "ByteScanning", "CKernel", "MarketData", "Rings"]),
        .target(name: "Parsing", dependencies: ["ExchangeAdapter", "Wire", "Rings", "MarketData"]),
        .target(
            name: "Batching", dependencies: ["MarketData", "Rings", "ExchangeAdapter", "CKernel", "CZstd"]),
        .target(
            name: "Publishing",
            dependencies: ["Batching", "MarketData", "Rings", "CKernel", "CTLS", "CCurl"]),
        .target(name: "GoogleCloud", dependencies: ["CTLS", "CCurl"]),
        .target(
            name: "Telemetry",
            dependencies: ["Rings", "MarketData", .product(name: "Logging", package: "swift-log")]),
        .target(
            name: "ControlPlane",
            dependencies: [
                "CKernel", "CCurl", "CZstd", "MarketData", "Rings", "Wire", "ExchangeAdapter",
                "BinanceAdapter",
                "Parsing",
                "Batching", "Publishing", "GoogleCloud", "Telemetry",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Yams", package: "Yams"),
                .product(name: "FlyingFox", package: "FlyingFox"),
                .product(name: "FlyingSocks", package: "FlyingFox"),
            ]),
        .executableTarget(
            name: "exchange-collector",
            dependencies: [
                "ControlPlane", "MarketData",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // The other end: what consumers read messages with.
        .target(name: "MarketReader", dependencies: ["CZstd"], exclude: ["python"]),

        // A fake exchange, for the demo, the tests and the load runs.
        .executableTarget(
            name: "feed-replayer",
            dependencies: [
                "CKernel", "CTLS", "CZstd", "MarketData",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // The client that the Autobahn suite drives; not installed anywhere.
        .executableTarget(
            name: "websocket-conformance",
            dependencies: [
                "Wire", "Rings", "CKernel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        .testTarget(name: "MarketDataTests", dependencies: ["MarketData"]),
        .testTarget(name: "RingsTests", dependencies: ["Rings", "MarketData", "CKernel"]),
        .target(name: "ReferenceJSON", path: "Tests/ReferenceJSON"),
        .target(name: "PortableDigits", dependencies: ["CDigits"], path: "Tests/PortableDigits"),
        .testTarget(
            name: "ByteScanningTests",
            dependencies: ["ByteScanning", "CDigits", "MarketData", "PortableDigits", "ReferenceJSON"]),
        .testTarget(
            name: "WireTests",
            dependencies: ["Wire", "MarketData", "CTLS", "CKernel", "CURing", "CDeflate"]),
        .testTarget(
            name: "ConformanceTests", dependencies: ["websocket-conformance", "Wire", "CKernel", "CTLS"],
            path: "Tests/Conformance"),
        .testTarget(name: "ExchangeAdapterTests", dependencies: ["ExchangeAdapter", "MarketData"]),
        .testTarget(
            name: "BinanceAdapterTests",
            dependencies: [
                "BinanceAdapter", "ExchangeAdapter", "ByteScanning", "Wire", "Rings", "MarketData", "CZstd",
                "ReferenceJSON",
            ]),
        .testTarget(
            name: "ParsingTests", dependencies: ["Parsing", "ExchangeAdapter", "MarketData", "Rings", "Wire"]),
        .testTarget(name: "BatchingTests", dependencies: ["Batching", "MarketData", "CZstd"]),
        .target(
            name: "SyntheticBatches", dependencies: ["Batching", "MarketData", "Rings", "CKernel", "CZstd"],
            path: "Tests/SyntheticBatches"),
        .testTarget(
            name: "PublishingTests",
            dependencies: ["Publishing", "SyntheticBatches", "MarketData", "CCurl", "CZstd"]),
        .testTarget(name: "MarketReaderTests", dependencies: ["MarketReader", "MarketData", "CZstd"]),
        .testTarget(name: "GoogleCloudTests", dependencies: ["GoogleCloud"]),
        .testTarget(
            name: "TelemetryTests",
            dependencies: [
                "Telemetry", "MarketData", "Rings", .product(name: "Logging", package: "swift-log"),
            ]),
        .testTarget(
            name: "ControlPlaneTests",
            dependencies: [
                "exchange-collector", "ControlPlane", "CKernel", "CZstd", "Batching", "ExchangeAdapter",
                "MarketData", "Parsing", "Publishing", "Rings", "Telemetry", "Wire",
            ],
            exclude: ["wrong-configurations.txt"]),

        // The Pub/Sub sink alone, fed with batches: see Tests/PublisherFaults/run and Benchmarks/publishing/run.
        .executableTarget(
            name: "publish-driver",
            dependencies: [
                "Publishing", "SyntheticBatches", "Batching", "MarketData", "Rings", "CKernel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/PublisherFaults/publish-driver"),

        // The slots under a virtual clock, against a virtual exchange: see Tests/Simulation/run.
        .target(
            name: "SlotSimulation",
            dependencies: ["ControlPlane", "Parsing", "ExchangeAdapter", "MarketData", "Rings", "Wire"],
            path: "Tests/Simulation/SlotSimulation"),
        .executableTarget(
            name: "slot-simulation",
            dependencies: [
                "SlotSimulation", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/Simulation/slot-simulation"),
        .testTarget(
            name: "SimulationTests", dependencies: ["SlotSimulation"],
            path: "Tests/Simulation/SimulationTests"),
        .testTarget(
            name: "FeedReplayerTests",
            dependencies: ["feed-replayer", "MarketData", "CKernel", "CTLS", "CZstd"]),
    ],
    swiftLanguageModes: [.v6]
)
