package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// The words of SOCKS 5 that are needed to open one connection.
//
// https://www.rfc-editor.org/rfc/rfc1928
// https://www.rfc-editor.org/rfc/rfc1929
const (
	socksVersion   = 5
	socksConnect   = 1
	socksAnonymous = 0
	socksPassword  = 2
	socksNone      = 0xff // no way to log on is good enough
	socksIPv4      = 1
	socksName      = 3
	socksIPv6      = 4
)

var errSOCKS = errors.New("the proxy does not speak SOCKS 5")

// socks asks the proxy at the other end to connect to a host. It reads not a byte more than
// the proxy's answer: what follows is the server's.
func socks(conn net.Conn, login, password string, to destination) error {
	if err := socksLogon(conn, login, password); err != nil {
		return err
	}
	if _, err := conn.Write(append(socksAddress([]byte{socksVersion, socksConnect, 0}, to.host), byte(to.port>>8), byte(to.port))); err != nil {
		return err
	}
	head := make([]byte, 4) // version, result, reserved, kind of the address that follows
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	if head[0] != socksVersion {
		return errSOCKS
	}
	switch result := head[1]; result {
	case 0:
		return socksSkipAddress(conn, head[3])
	case 2: // by rule
		return proxyRefused("SOCKS 2")
	case 7, 8: // command or kind of address unknown
		return proxyRefused(fmt.Sprintf("SOCKS %d", result))
	default:
		return proxyFailed(fmt.Sprintf("SOCKS %d", result))
	}
}

func socksLogon(conn net.Conn, login, password string) error {
	ways := []byte{socksAnonymous}
	if login != "" {
		ways = []byte{socksPassword}
	}
	if _, err := conn.Write(append([]byte{socksVersion, byte(len(ways))}, ways...)); err != nil {
		return err
	}
	answer := make([]byte, 2)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	switch {
	case answer[0] != socksVersion:
		return errSOCKS
	case answer[1] == socksNone:
		return proxyLogon()
	case answer[1] != ways[0]:
		return errSOCKS
	case login == "":
		return nil
	}
	hello := append([]byte{1, byte(len(login))}, login...) // both were checked to be at most 255 bytes long
	hello = append(append(hello, byte(len(password))), password...)
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if answer[1] != 0 {
		return proxyLogon()
	}
	return nil
}

func socksAddress(b []byte, host string) []byte {
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return append(append(b, socksName, byte(len(host))), host...) // at most 253, see canonical
	case a.Is4():
		return append(append(b, socksIPv4), a.AsSlice()...)
	}
	return append(append(b, socksIPv6), a.AsSlice()...)
}

// socksSkipAddress reads the address that the proxy connects from, which is of no use to us.
func socksSkipAddress(conn net.Conn, kind byte) error {
	size := map[byte]int{socksIPv4: 4, socksIPv6: 16}[kind]
	if kind == socksName {
		length := make([]byte, 1)
		if _, err := io.ReadFull(conn, length); err != nil {
			return err
		}
		size = int(length[0])
	}
	if size == 0 {
		return errSOCKS
	}
	_, err := io.ReadFull(conn, make([]byte, size+binary.Size(uint16(0))))
	return err
}
