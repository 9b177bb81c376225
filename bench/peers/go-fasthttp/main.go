// The fasthttp peer: a constant JSON body, bodies from memory under /mem/, files from a directory.
package main

import (
	"flag"
	"log"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

func main() {
	port := flag.Int("port", 8080, "port on 127.0.0.1")
	root := flag.String("root", ".", "directory served under /")
	cert := flag.String("cert", "", "certificate in PEM; with it the port speaks TLS")
	key := flag.String("key", "", "its key")
	flag.Parse()
	body := []byte(`{"status":"ok"}`)
	bodies := map[string][]byte{}
	for name, bytes := range map[string]int{"4k": 4 << 10, "64k": 64 << 10, "1m": 1 << 20} {
		bodies[name] = []byte(strings.Repeat("x", bytes))
	}
	fs := &fasthttp.FS{Root: *root, AcceptByteRange: true, CacheDuration: time.Hour}
	files := fs.NewRequestHandler()
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Concurrency:           100000,
		Handler: func(ctx *fasthttp.RequestCtx) {
			path := string(ctx.Path())
			switch {
			case path == "/":
				ctx.SetContentType("application/json")
				ctx.Response.SetBodyRaw(body)
			case strings.HasPrefix(path, "/mem/") && bodies[path[5:]] != nil:
				ctx.SetContentType("application/octet-stream")
				ctx.Response.SetBodyRaw(bodies[path[5:]])
			default:
				files(ctx)
			}
		},
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(*port))
	if err != nil {
		log.Fatal(err)
	}
	if *cert != "" {
		log.Fatal(server.ServeTLS(listener, *cert, *key))
	}
	log.Fatal(server.Serve(listener))
}
