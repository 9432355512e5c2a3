-- Iteration over continuation bytes only.
-- load: ok
-- call: steps|time
return function() local s = "a" .. ("\x80"):rep(60000) while true do pcall(function() for _ in utf8.codes(s) do end end) end end
