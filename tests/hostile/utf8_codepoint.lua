-- All code points of a long text at once.
-- load: ok
-- call: policy
return function() return utf8.codepoint(("x"):rep(60000), 1, -1) end
