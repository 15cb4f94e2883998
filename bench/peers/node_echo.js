#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// An echo server on node. A peer of the benchmarks; one thread runs JavaScript.
//
//   node_echo.js --port N
'use strict';
const net = require('net');

if (process.argv.length !== 4 || process.argv[2] !== '--port') {
  console.error(`usage: ${process.argv[1]} --port N`);
  process.exit(2);
}

const server = net.createServer({ noDelay: true }, (client) => {
  // What the socket does not take is queued; then nothing is read until it is gone.
  client.on('data', (data) => {
    if (!client.write(data)) client.pause();
  });
  client.on('drain', () => client.resume());
  client.on('error', () => client.destroy());
});
server.on('error', (error) => {
  console.error(`node_echo: ${error.message}`);
  process.exit(1);
});
server.listen({ host: '127.0.0.1', port: Number(process.argv[3]), backlog: 4096 });
