// The net/http peer: a constant JSON body, bodies from memory under /mem/, files from a directory.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
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
	write := func(w http.ResponseWriter, kind string, b []byte) {
		w.Header()["Content-Type"] = []string{kind}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
		w.Write(b)
	}
	files := http.FileServer(http.Dir(*root))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			write(w, "application/json", body)
		case strings.HasPrefix(r.URL.Path, "/mem/") && bodies[r.URL.Path[5:]] != nil:
			write(w, "application/octet-stream", bodies[r.URL.Path[5:]])
		default:
			files.ServeHTTP(w, r)
		}
	})
	listener, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(*port))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	if *cert != "" {
		log.Fatal(server.ServeTLS(listener, *cert, *key))
	}
	log.Fatal(server.Serve(listener))
}
