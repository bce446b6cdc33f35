// Package rtnl writes row.Linux (links, addresses, neighbours, routes, rules and GUE ports) over rtnetlink in one
// network namespace. It is a row.Target.
//
// What is ours is recognised without memory: links by name and kind, addresses and neighbours by the link that
// they are on, routes and rules by protocol 17, GUE ports by the port number we are told and by those that our
// tunnels send to. Whatever else is there stays; where it stands in a row's place, that row fails and says so.
package rtnl
