// A WebSocket client with Boost.Beast and simdjson, as its documentation shows how: one asynchronous read a message.
//   beast_client --port P --symbols FILE [--authority ca.pem] [--parse none|simdjson|simdjson-tuned|speculating] [--seconds S]
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "client.h"

namespace beast = boost::beast;
namespace asio = boost::asio;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;

namespace {

template <typename Stream> class Client {
  public:
    Client(websocket::stream<Stream> &stream, const Options &options) : stream_(stream), parser_(options), total_(options) {
        // Padding behind a message, for simdjson.
        buffer_.reserve(1 << 18);
    }
    void read() {
        stream_.async_read(buffer_, [this](beast::error_code error, size_t length) {
            if (error) throw std::runtime_error(error.message());
            if (take(static_cast<const char *>(buffer_.data().data()), length)) return;
            buffer_.consume(length);
            read();
        });
    }

  private:
    bool take(const char *message, size_t length) {
        // The answer to the request is no data.
        if (length < 10 || memcmp(message, "{\"stream\"", 9)) return false;
        const rv_slice slice = {0, uint32_t(length)};
        parser_.take(reinterpret_cast<const uint8_t *>(message), &slice, 1);
        frames_ += 1;
        bytes_ += length;
        // The clock is not looked at for each message.
        if (frames_ < 64) return false;
        const bool over = total_.add(frames_, bytes_);
        frames_ = bytes_ = 0;
        return over;
    }
    websocket::stream<Stream> &stream_;
    Parser parser_;
    Count total_;
    beast::flat_buffer buffer_;
    size_t frames_ = 0, bytes_ = 0;
};

template <typename Stream> void run(asio::io_context &context, websocket::stream<Stream> &stream, const Options &options) {
    stream.handshake("localhost", "/stream");
    stream.write(asio::buffer(options.subscription()));
    Client<Stream> client(stream, options);
    client.read();
    context.run();
}

void run(const Options &options) {
    asio::io_context context(1);
    const tcp::endpoint endpoint(asio::ip::make_address("127.0.0.1"), uint16_t(std::stoi(options.port)));
    if (options.authority.empty()) {
        websocket::stream<beast::tcp_stream> stream(context);
        beast::get_lowest_layer(stream).connect(endpoint);
        return run(context, stream, options);
    }
    asio::ssl::context tls(asio::ssl::context::tlsv13_client);
    tls.load_verify_file(options.authority);
    tls.set_verify_mode(asio::ssl::verify_peer);
    websocket::stream<beast::ssl_stream<beast::tcp_stream>> stream(context, tls);
    beast::get_lowest_layer(stream).connect(endpoint);
    SSL_set_tlsext_host_name(stream.next_layer().native_handle(), "localhost");
    stream.next_layer().handshake(asio::ssl::stream_base::client);
    run(context, stream, options);
}

} // namespace

int main(int count, char **words) {
    try {
        run(Options(count, words));
        return 0;
    } catch (const std::exception &error) {
        fprintf(stderr, "beast_client: %s\n", error.what());
        return 1;
    }
}
