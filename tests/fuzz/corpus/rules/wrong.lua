return { dns_default = 5, network_rules = { 1, { decision = "x", ports = { 99999 }, domians = {} } },
  dns_redirects = "x", connect_redirects = { { match = "x:y", tls = "z" } }, file_rules = { { paths = { "${X}" } } } }
