return { dns_default = "resolve_known", redirect_target_policy = "trusted",
  network_rules = { { name = "a", domains = { "**.b.example", "{a,b}.*.example", "a*.example" }, ports = { 443, "80-90" },
    cidrs = { "10.0.0.0/8" }, decision = "audit", timeout = "1h", visibility = "warn" }, { decision = "deny" } },
  dns_redirects = { { match = "a.b.example", resolve_to = "10.0.0.1", resolve_to6 = "fd00::1", ttl = 5 },
    { regex = "(a|b).*", resolve_to = "10.0.0.2" }, { search = "(^|\\.)b\\.example$", resolve_to = "10.0.0.3" } },
  connect_redirects = { { match = "*.b.example:443", redirect_to = "p:1", tls = { mode = "rewrite_sni", sni = "p" } },
    { search = ":(443|80)", redirect_to_unix = "/s", on_failure = "fail_open", message = [==[m]==] } }, -- { comment }
  file_rules = { { paths = { "**/.env", "/a/**" }, operations = { "rename" }, decision = "redirect", redirect_to = "/s",
    preserve_tree = true }, { paths = { "/a/**/*.so" }, decision = "soft_delete" } } }
