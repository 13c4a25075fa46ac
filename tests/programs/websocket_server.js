// A node server that speaks WebSocket (RFC 6455) to many clients: it counts their messages and answers each with the
// count, on connections that stay open.
const crypto = require('crypto')
const http = require('http')

let count = 0
const server = http.createServer()

server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  const accept = crypto.createHash('sha1').update(key).digest('base64')
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`)
  let data = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    data = Buffer.concat([data, chunk])
    while (data.length >= 6) {
      const length = data[1] & 127
      if (data.length < 6 + length) break
      const mask = data.subarray(2, 6)
      const text = Buffer.from(data.subarray(6, 6 + length)).map((byte, i) => byte ^ mask[i % 4])
      data = data.subarray(6 + length)
      const answer = Buffer.from(`${++count} ${text}`)
      socket.write(Buffer.concat([Buffer.from([0x81, answer.length]), answer]))
    }
  })
  socket.on('error', () => {})
})
server.listen(8082, '127.0.0.1')
