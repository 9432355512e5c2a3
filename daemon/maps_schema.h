/* SPDX-License-Identifier: Apache-2.0 */
/* maps_schema.h - the schema of what a session says of names and addresses, asked itself or by way of the host's daemon */
#ifndef MF_DAEMON_MAPS_SCHEMA_H
#define MF_DAEMON_MAPS_SCHEMA_H

// clang-format off
#define MF_MAPS_SCHEMA \
	  "{\"type\": \"object\", \"description\": \"which names led to which addresses, as the session's own DNS answers said\", \"properties\": {" \
	  "\"session\": {\"type\": \"string\"}," \
	  "\"complete\": {\"type\": \"boolean\", \"description\": \"false: there were more than the limit\"}," \
	  "\"names\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {" \
	  "\"address\": {\"type\": \"string\"}, \"names\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {" \
	  "\"name\": {\"type\": \"string\"}, \"alias\": {\"type\": \"boolean\", \"description\": \"stood in a CNAME chain, was not asked for\"}," \
	  "\"expires_in_s\": {\"type\": \"integer\", \"description\": \"0: an open connection alone keeps it\"}}}}}}}}}"
#define MF_FLOWS_QUERY \
	  "{\"name\": \"before\", \"in\": \"query\", \"description\": \"begun before the one with this id: the next page\", \"schema\": {\"type\": \"integer\"}}, " \
	  "{\"name\": \"limit\", \"in\": \"query\", \"description\": \"flows at most: 200; up to 1,000\", \"schema\": {\"type\": \"integer\"}}"
#define MF_FLOWS_SCHEMA \
	  "{\"type\": \"object\", \"description\": \"connections and flows that the session has now, the newest first\", \"properties\": {" \
	  "\"session\": {\"type\": \"string\"}," \
	  "\"complete\": {\"type\": \"boolean\", \"description\": \"false: there are older ones: before the last id\"}," \
	  "\"flows\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {" \
	  "\"id\": {\"type\": \"integer\"}, \"proto\": {\"enum\": [\"tcp\", \"udp\"]}," \
	  "\"state\": {\"enum\": [\"judged\", \"waiting\", \"opening\", \"open\", \"ending\"], \"description\": \"waiting: for a person\"}," \
	  "\"client\": {\"type\": \"string\", \"description\": \"the program's end\"}," \
	  "\"server\": {\"type\": \"string\", \"description\": \"where it meant to go\"}," \
	  "\"to\": {\"type\": \"string\", \"description\": \"where it goes; not there: nowhere yet, or to no IP address\"}," \
	  "\"host\": {\"type\": \"string\"}, \"age_ms\": {\"type\": \"integer\", \"description\": \"tcp: since its beginning\"}," \
	  "\"idle_ms\": {\"type\": \"integer\", \"description\": \"udp: since its last datagram\"}," \
	  "\"bytes_to_server\": {\"type\": \"integer\"}, \"bytes_to_client\": {\"type\": \"integer\"}}}}}}"
// clang-format on

#endif
