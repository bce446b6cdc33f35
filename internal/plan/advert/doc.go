// Package advert plans which prefixes go to which BGP peers with which attributes. It stands between the
// model and intent.BGP.
//
// There are two units: the speaker with its peers, its policy and this node's pod ranges; and every Service
// with its addresses. Nodes of the cluster peer with each other as far as both of them find, by the same
// rule, that they should, so neither waits for a session that the other doesn't want.
package advert
