// The WebSocket to the process that runs the machine. Binary messages begin with a byte that says what they are.

const AGAIN_IN = 1000;                  // ms
export const TEXT = 0, PIXELS = 1;

export class Link {
  // `handlers`: by what a message is, `text` and `pixels` for binary ones, and `lost`.
  constructor(handlers) {
    this.handlers = handlers;
    this.open();
  }

  open() {
    const address = new URL("socket", location.href);
    address.protocol = "ws:";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = () => {
      this.handlers.lost();
      setTimeout(() => this.open(), AGAIN_IN);
    };
  }

  receive(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      this.handlers[message.is](message);
    } else {
      const kind = new Uint8Array(data, 0, 1)[0];
      (kind === TEXT ? this.handlers.text : this.handlers.pixels)(data.slice(1));
    }
  }

  ask(request, values = {}) {
    this.send(JSON.stringify({ do: request, ...values }));
  }

  send(data) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }
}
