-- SPDX-License-Identifier: Apache-2.0
-- moonfence.hosts - well-known names by what they are for
--
--   local hosts = require "moonfence.hosts"
--   if c:under(hosts.git) then return allow() end
--
-- Each entry stands for the domain and all below it. The lists are short on purpose: what is on them may be reached by
-- whoever uses them. There is no list of package registries: an installation runs what it downloads, so which registry,
-- or which mirror of your own, is for the operator to say (data/registries.txt of the default policy).

local M = {}

-- Where source code lives: the sites, what they serve content from, git over https and ssh.
M.git = domains {
  "github.com",
  "githubusercontent.com",
  "githubassets.com",
  "gitlab.com",
  "bitbucket.org",
  "codeberg.org",
  "sr.ht",
}

-- Interfaces of language models: the hosts that serve requests, not the vendors' whole domains.
M.models = domains {
  "api.anthropic.com",
  "api.openai.com",
  "generativelanguage.googleapis.com",
  "api.mistral.ai",
  "api.cohere.com",
  "api.deepseek.com",
  "api.groq.com",
  "api.together.xyz",
  "api.x.ai",
  "openrouter.ai",
}

-- Public resolvers over TLS, HTTPS and QUIC: a program that talks to one goes around the session's own DNS.
M.resolvers = domains {
  "dns.google",
  "cloudflare-dns.com",
  "one.one.one.one",
  "quad9.net",
  "doh.opendns.com",
  "dns.nextdns.io",
  "adguard-dns.com",
  "cleanbrowsing.org",
  "doh.libredns.gr",
  "dns.mullvad.net",
  "dns0.eu",
}

return M
