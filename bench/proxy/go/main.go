// The Go peer of bench/proxy/run: httputil.ReverseProxy on net/http, with golang-jwt in front of it where a secret is given. The checks are those of the route of uringd
// that it is compared with: HS256 alone, exp, iss, aud.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt"
)

// Made once: a parser has no state.
var parser = jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))

func isGood(authorization string, secret []byte) bool {
	const scheme = "Bearer "
	if len(authorization) < len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return false
	}
	// A struct, not a map: the faster of the two.
	var claims jwt.RegisteredClaims
	if _, err := parser.ParseWithClaims(authorization[len(scheme):], &claims, func(*jwt.Token) (interface{}, error) { return secret, nil }); err != nil {
		return false
	}
	return claims.ExpiresAt != nil && claims.VerifyIssuer("https://issuer.example", true) && claims.VerifyAudience("orders", true)
}

// Copies go through buffers that are used again, as in any proxy that was thought about.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return b.pool.Get().([]byte) }
func (b *buffers) Put(m []byte) { b.pool.Put(m) }

func main() {
	port := flag.Int("port", 8080, "port on 127.0.0.1")
	to := flag.String("to", "http://127.0.0.1:8081", "the upstream")
	text := flag.String("secret", "", "the key that tokens are signed with")
	flag.Parse()
	upstream, err := url.Parse(*to)
	if err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.Transport = &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, DisableCompression: true}
	proxy.BufferPool = &buffers{sync.Pool{New: func() interface{} { return make([]byte, 32<<10) }}}
	var handler http.Handler = proxy
	if secret := []byte(*text); len(secret) > 0 {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !isGood(r.Header.Get("Authorization"), secret) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			proxy.ServeHTTP(w, r)
		})
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(*port))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&http.Server{Handler: handler}).Serve(listener))
}
