-- A message that pretends to come from another file.
-- load: ok
-- call: policy
return function() error("/etc/passwd:1: fine", 0) end
