// The peers of bench/jwtjson/run: golang-jwt in front of a JSON answer, on fasthttp or net/http. The checks are those of jwtjson-bench: HS256 alone, exp, iss, aud.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt"
	"github.com/valyala/fasthttp"
)

type answer struct {
	Status  string `json:"status"`
	Subject string `json:"subject"`
}

var (
	secret []byte
	// Made once: a parser has no state.
	parser     = jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	errRefused = errors.New("the token is not good")
)

func key(*jwt.Token) (interface{}, error) { return secret, nil }

// What both servers do with the value of Authorization: the JSON to answer with, or an error for 401.
func respond(authorization string) ([]byte, error) {
	const scheme = "Bearer "
	if len(authorization) < len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return nil, errRefused
	}
	// A struct, not a map: the faster of the two.
	var claims jwt.RegisteredClaims
	if _, err := parser.ParseWithClaims(authorization[len(scheme):], &claims, key); err != nil {
		return nil, err
	}
	if claims.ExpiresAt == nil || !claims.VerifyIssuer("https://issuer.example", true) || !claims.VerifyAudience("orders", true) {
		return nil, errRefused
	}
	return json.Marshal(answer{"ok", claims.Subject})
}

func fast(ctx *fasthttp.RequestCtx) {
	body, err := respond(string(ctx.Request.Header.Peek("Authorization")))
	if err != nil {
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
		ctx.SetStatusCode(401)
		return
	}
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(body)
}

func standard(w http.ResponseWriter, r *http.Request) {
	body, err := respond(r.Header.Get("Authorization"))
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(401)
		return
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.Write(body)
}

func main() {
	isFast := flag.Bool("fasthttp", false, "fasthttp instead of net/http")
	text := flag.String("secret", "", "the key")
	cert := flag.String("cert", "", "certificate in PEM; with it the port speaks TLS")
	certKey := flag.String("key", "", "its key")
	flag.Parse()
	secret = []byte(*text)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	fastServer := &fasthttp.Server{NoDefaultServerHeader: true, Handler: fast}
	server := &http.Server{Handler: http.HandlerFunc(standard)}
	switch {
	case *isFast && *cert != "":
		err = fastServer.ServeTLS(listener, *cert, *certKey)
	case *isFast:
		err = fastServer.Serve(listener)
	case *cert != "":
		err = server.ServeTLS(listener, *cert, *certKey)
	default:
		err = server.Serve(listener)
	}
	log.Fatal(err)
}
