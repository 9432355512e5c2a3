-- Arithmetic on strings of digits, again and again.
-- load: ok
-- call: steps|time
return function() local s = ("1"):rep(300) while true do local _ = s + s * s // "7" end end
