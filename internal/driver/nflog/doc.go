// Package nflog reads what the firewall's rules log: packets that policies dropped, with the prefix that
// names pod and direction. The kernel hands them to one listener a group; without one it drops the copies,
// so nothing listens unless somebody asks.
package nflog
