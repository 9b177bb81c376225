// The golang.org/x/net/websocket peer: sends every message back. One argument, the port of 127.0.0.1.
package main

import (
	"log"
	"net/http"
	"os"

	"golang.org/x/net/websocket"
)

func main() {
	http.Handle("/", websocket.Server{Handler: func(c *websocket.Conn) {
		var message []byte
		for {
			if err := websocket.Message.Receive(c, &message); err != nil {
				return
			}
			if err := websocket.Message.Send(c, message); err != nil {
				return
			}
		}
	}})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
