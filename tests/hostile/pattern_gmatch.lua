-- Catastrophic patterns inside gmatch.
-- load: ok
-- call: steps|time
return function() for _ in ("a"):rep(60):gmatch(("a*"):rep(12) .. "b") do end end
