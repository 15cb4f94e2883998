// SPDX-License-Identifier: MIT

// An echo server in Go: a goroutine per connection. A peer of the benchmarks; as many threads run
// Go code at once as --threads says. Go sets TCP_NODELAY by itself.
//
//	go-echo --port N [--threads N]
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
)

func serve(client net.Conn) {
	defer client.Close()
	buffer := make([]byte, 65536)
	for {
		n, err := client.Read(buffer)
		if n > 0 {
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func main() {
	port := flag.Int("port", 0, "to listen on, on 127.0.0.1")
	threads := flag.Int("threads", 1, "that run Go code at once")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-echo:", err)
		os.Exit(1)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "go-echo:", err)
			continue
		}
		go serve(client)
	}
}
