-- A generic for whose iterator never ends.
-- load: ok
-- call: steps
return function() for _ in function() return 1 end do end end
