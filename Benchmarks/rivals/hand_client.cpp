// A WebSocket client by hand: epoll, OpenSSL with read-ahead, frames found in place in one buffer and decoded by the run.
//   hand_client --port P --symbols FILE [--authority ca.pem] [--parse none|simdjson|simdjson-tuned|speculating] [--seconds S]
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

namespace {

constexpr size_t buffer_bytes = 1 << 18, padding = 64;

class Connection {
  public:
    explicit Connection(const Options &options) {
        fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(uint16_t(std::stoi(options.port)));
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
        if (connect(fd_, reinterpret_cast<sockaddr *>(&address), sizeof address)) throw std::runtime_error("cannot connect");
        const int on = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!options.authority.empty()) start_tls(options.authority);
    }
    void set_nonblocking() { fcntl(fd_, F_SETFL, O_NONBLOCK); }
    int fd() const { return fd_; }
    // Bytes read; 0: nothing there now.
    size_t read(uint8_t *to, size_t room) {
        if (ssl_) {
            const int count = SSL_read(ssl_, to, int(room));
            if (count > 0) return size_t(count);
            if (SSL_get_error(ssl_, count) == SSL_ERROR_WANT_READ) return 0;
        } else {
            const ssize_t count = recv(fd_, to, room, 0);
            if (count > 0) return size_t(count);
            if (count < 0 && errno == EAGAIN) return 0;
        }
        throw std::runtime_error("the connection has ended");
    }
    // Whether bytes lie in OpenSSL's own buffer.
    bool has_more() const { return ssl_ && SSL_has_pending(ssl_); }
    void write(const std::string &bytes) {
        for (size_t done = 0; done < bytes.size();) {
            const long count = ssl_ ? SSL_write(ssl_, bytes.data() + done, int(bytes.size() - done)) : send(fd_, bytes.data() + done, bytes.size() - done, 0);
            if (count > 0) done += size_t(count);
            else if (ssl_ ? SSL_get_error(ssl_, int(count)) > SSL_ERROR_WANT_WRITE : errno != EAGAIN) throw std::runtime_error("cannot write");
        }
    }

  private:
    void start_tls(const std::string &authority) {
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_default_read_buffer_len(context, 1 << 16);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
        if (SSL_CTX_load_verify_locations(context, authority.c_str(), nullptr) != 1) throw std::runtime_error("no authority");
        ssl_ = SSL_new(context);
        SSL_set_tlsext_host_name(ssl_, "localhost");
        SSL_set1_host(ssl_, "localhost");
        SSL_set_fd(ssl_, fd_);
        if (SSL_connect(ssl_) != 1) throw std::runtime_error("the TLS handshake failed");
    }
    int fd_ = -1;
    SSL *ssl_ = nullptr;
};

std::string masked(uint8_t opcode, const std::string &payload) {
    std::string frame{char(0x80 | opcode)};
    if (payload.size() < 126) {
        frame += char(0x80 | payload.size());
    } else {
        frame += char(0x80 | 126);
        frame += char(payload.size() >> 8);
        frame += char(payload.size());
    }
    return frame + std::string(4, '\0') + payload;
}

struct Reader {
    std::vector<uint8_t> buffer = std::vector<uint8_t>(buffer_bytes + padding);
    std::vector<rv_slice> slices = std::vector<rv_slice>(buffer_bytes / 2);
    size_t filled = 0;

    // The frames that have come whole; the rest moves to the buffer's beginning. Calls `each_run(slices, count, bytes)`.
    template <typename Run> void unframe(Connection &connection, Run each_run) {
        size_t at = 0, count = 0, bytes = 0;
        while (filled - at >= 2) {
            const uint8_t *head = buffer.data() + at;
            size_t length = head[1] & 0x7F, header = 2;
            if (length == 126) {
                if (filled - at < 4) break;
                length = size_t(head[2]) << 8 | head[3];
                header = 4;
            } else if (length == 127) {
                throw std::runtime_error("a frame over 64 KiB");
            }
            if (filled - at < header + length) break;
            if (head[0] == 0x81) {
                // The answer to the request is no data.
                if (length > 9 && !memcmp(head + header, "{\"stream\"", 9)) slices[count++] = {uint32_t(at + header), uint32_t(length)};
                bytes += length;
            } else if (head[0] == 0x89) {
                connection.write(masked(0xA, std::string(reinterpret_cast<const char *>(head) + header, length)));
            } else {
                throw std::runtime_error("an unexpected frame");
            }
            at += header + length;
        }
        if (count) each_run(slices.data(), count, bytes);
        memmove(buffer.data(), buffer.data() + at, filled - at);
        filled -= at;
    }
};

void upgrade(Connection &connection, const Options &options) {
    connection.write("GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    std::string answer;
    while (answer.find("\r\n\r\n") == answer.npos) {
        uint8_t byte;
        if (connection.read(&byte, 1)) answer += char(byte);
    }
    if (answer.rfind("HTTP/1.1 101", 0)) throw std::runtime_error("no upgrade: " + answer);
    connection.write(masked(1, options.subscription()));
}

void save(Connection &connection, const Options &options) {
    std::ofstream file(options.save, std::ios::binary);
    Reader reader;
    for (long left = options.frames; left > 0;) {
        reader.filled += connection.read(reader.buffer.data() + reader.filled, buffer_bytes - reader.filled);
        reader.unframe(connection, [&](const rv_slice *slices, size_t count, size_t) {
            for (size_t i = 0; i < count && left > 0; i++, left--) {
                file.write(reinterpret_cast<const char *>(&slices[i].length), 4);
                file.write(reinterpret_cast<const char *>(reader.buffer.data()) + slices[i].offset, slices[i].length);
            }
        });
    }
    if (!file.flush()) throw std::runtime_error("cannot write " + options.save);
}

void measure(Connection &connection, const Options &options) {
    Parser parser(options);
    Count total(options);
    Reader reader;
    connection.set_nonblocking();
    const int poll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{EPOLLIN, {}};
    epoll_ctl(poll, EPOLL_CTL_ADD, connection.fd(), &event);
    for (bool over = false; !over;) {
        epoll_wait(poll, &event, 1, -1);
        while (!over) {
            const size_t count = connection.read(reader.buffer.data() + reader.filled, buffer_bytes - reader.filled);
            if (!count) break;
            reader.filled += count;
            // Decrypted or read already: a run of many frames is worth its fixed costs.
            if (reader.filled < buffer_bytes / 4 && connection.has_more()) continue;
            reader.unframe(connection, [&](const rv_slice *slices, size_t frames, size_t bytes) {
                parser.take(reader.buffer.data(), slices, frames);
                over = total.add(frames, bytes);
            });
        }
    }
}

} // namespace

int main(int count, char **words) {
    try {
        const Options options(count, words);
        Connection connection(options);
        upgrade(connection, options);
        if (options.save.empty()) measure(connection, options);
        else save(connection, options);
        return 0;
    } catch (const std::exception &error) {
        fprintf(stderr, "hand_client: %s\n", error.what());
        return 1;
    }
}
