// SPDX-License-Identifier: MIT
// An echo server on Boost.Asio, with its callbacks and one thread, which it is told about so that
// it takes no locks; the sockets know their executor's type. A write is tried at once and waits
// only for what the socket did not take. A peer of the benchmarks.
//
//   asio-echo --port N
#include <array>
#include <boost/asio.hpp>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>

namespace asio = boost::asio;
using asio::ip::tcp;

namespace
{

using executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<tcp, executor>;
using tcp_acceptor = asio::basic_socket_acceptor<tcp, executor>;

// Lives as long as an operation of it does.
class session : public std::enable_shared_from_this<session>
{
      public:
	explicit session(tcp_socket socket) : socket_(std::move(socket))
	{
	}

	void read()
	{
		socket_.async_read_some(asio::buffer(buffer_),
					[self = shared_from_this()](auto error, auto bytes) {
						if (!error)
							self->write(bytes);
					});
	}

      private:
	void write(std::size_t bytes)
	{
		asio::async_write(socket_, asio::buffer(buffer_, bytes),
				  [self = shared_from_this()](auto error, auto) {
					  if (!error)
						  self->read();
				  });
	}

	tcp_socket socket_;
	std::array<char, 65536> buffer_;
};

void accept(tcp_acceptor &acceptor)
{
	acceptor.async_accept([&acceptor](auto error, tcp_socket socket) {
		boost::system::error_code ignored;

		if (!error) {
			socket.set_option(tcp::no_delay(true), ignored);
			std::make_shared<session>(std::move(socket))->read();
		}
		accept(acceptor);
	});
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 3 || std::strcmp(argv[1], "--port") != 0) {
		std::cerr << "usage: " << argv[0] << " --port N\n";
		return 2;
	}
	try {
		asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
		auto port = static_cast<unsigned short>(std::atoi(argv[2]));
		tcp_acceptor acceptor(context,
				      tcp::endpoint(asio::ip::address_v4::loopback(), port));

		accept(acceptor);
		context.run();
	} catch (const std::exception &error) {
		std::cerr << "asio-echo: port " << argv[2] << ": " << error.what() << '\n';
		return 1;
	}
	return 0;
}
